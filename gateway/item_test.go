package gateway

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"gannet/client"
)

func TestPutGetHeadDelete(t *testing.T) {
	w := newWorld(t)
	value := make([]byte, 256)
	for i := range value {
		value[i] = byte(i)
	}
	put := w.do("PUT", "/v1/key/logo", bytes.NewReader(value), "X-TTL-Seconds: 60")
	put.want(t, 204, "Cache-Control: no-store", "Content-Type:")
	version := put.Header.Get("X-Version")
	if put.Header.Get("ETag") != `"`+version+`"` || version == "" {
		t.Errorf("ETag %q, version %q", put.Header.Get("ETag"), version)
	}
	describes := []string{
		`ETag: "` + version + `"`, "X-Version: " + version, "X-TTL-Seconds: 60", "Age: 0", "Cache-Control: max-age=60",
		"Content-Type: application/octet-stream", "X-Content-Type-Options: nosniff", "Content-Length: 256", "X-Stale:",
	}
	get := w.do("GET", "/v1/key/logo", nil)
	get.want(t, 200, describes...)
	if !bytes.Equal(get.body, value) {
		t.Errorf("got %x", get.body)
	}
	head := w.do("HEAD", "/v1/key/logo", nil)
	head.want(t, 200, describes...)
	if len(head.body) != 0 {
		t.Errorf("HEAD has a body: %q", head.body)
	}
	w.do("DELETE", "/v1/key/logo", nil).want(t, 204, "Cache-Control: no-store")
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		w.do(method, "/v1/key/logo", nil).wantProblem(t, 404, "not-found")
	}
}

func TestWithoutTTL(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v1/key/k", strings.NewReader("v")).want(t, 204)
	w.do("GET", "/v1/key/k", nil).want(t, 200, "X-TTL-Seconds:", "Cache-Control: no-cache", "Age: 0")
}

func TestEmptyValue(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v1/key/k", http.NoBody).want(t, 204)
	w.do("GET", "/v1/key/k", nil).want(t, 200, "Content-Length: 0")
}

func TestTTLHeaders(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		headers []string
		status  int
	}{
		{[]string{"X-TTL-Seconds: 1"}, 204},
		{[]string{"X-TTL-Seconds: 31104000"}, 204},
		{[]string{"X-TTL-Seconds: 60", "X-Soft-TTL-Seconds: 59"}, 204},
		{[]string{"X-Soft-TTL-Seconds: 59"}, 204},
		{[]string{"X-TTL-Seconds: 31104001"}, 400},
		{[]string{"X-TTL-Seconds: 0"}, 400},
		{[]string{"X-TTL-Seconds: -1"}, 400},
		{[]string{"X-TTL-Seconds: +1"}, 400},
		{[]string{"X-TTL-Seconds: 1.5"}, 400},
		{[]string{"X-TTL-Seconds: 60s"}, 400},
		{[]string{"X-TTL-Seconds: "}, 400},
		{[]string{"X-TTL-Seconds: 99999999999999999999"}, 400},
		{[]string{"X-TTL-Seconds: 60", "X-TTL-Seconds: 60"}, 400},
		{[]string{"X-TTL-Seconds: 60", "X-Soft-TTL-Seconds: 60"}, 400},
		{[]string{"X-Soft-TTL-Seconds: x"}, 400},
		{[]string{"Content-Range: bytes 0-0/2"}, 400},
		{[]string{"Content-Encoding: identity"}, 204},
	}
	for i, test := range tests {
		key := "/v1/key/" + strconv.Itoa(i)
		answer := w.do("PUT", key, strings.NewReader("v"), test.headers...)
		if test.status != 204 {
			answer.wantProblem(t, test.status, "bad-request")
			w.do("GET", key, nil).want(t, 404)
			continue
		}
		answer.want(t, test.status)
		w.do("GET", key, nil).want(t, 200)
	}
	w.do("PUT", "/v1/key/zipped", strings.NewReader("v"), "Content-Encoding: gzip").wantProblem(t, 415, "content-encoding")
}

// TestKeys: what follows the prefix is the key, percent-decoded and nothing else.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	for path, key := range map[string]string{
		"user:42":                     "user:42",
		"a%20b":                       "a b",
		"a+b":                         "a+b",
		"a%2Fb":                       "a/b",
		"x/y/z":                       "x/y/z",
		"/":                           "/",
		"x//y":                        "x//y",
		"%2e%2e/%2E":                  "../.",
		"../../v1/keys":               "../../v1/keys",
		"what%3F":                     "what?",
		"100%25":                      "100%",
		"%23":                         "#",
		"%00%FF%0A":                   "\x00\xff\n",
		"gr%C3%BC%C3%9Fe":             "grüße",
		strings.Repeat("k", 250):      strings.Repeat("k", 250),
		strings.Repeat("%6b", 249):    strings.Repeat("k", 249),
		"a;b=c,d&e=f@g!$'()*~":        "a;b=c,d&e=f@g!$'()*~",
		"%76%31%2fkey%2f%25%32%35%41": "v1/key/%25A",
	} {
		w.rawPath("PUT", "/v1/key/"+path, strings.NewReader(path)).want(t, 204)
		if got := w.node.Value(key); string(got) != path {
			t.Errorf("PUT %s stored %q under %q", path, got, key)
		}
		get := w.rawPath("GET", "/v1/key/"+path, nil)
		get.want(t, 200)
		if string(get.body) != path {
			t.Errorf("GET %s brought %q", path, get.body)
		}
	}
}

// rawPath sends a path as it is written.
func (w *world) rawPath(method, path string, body io.Reader) *reply {
	w.Helper()
	request, err := http.NewRequest(method, w.g.URL(), body)
	if err != nil {
		w.Fatal(err)
	}
	request.URL.Opaque = "//" + w.g.Addr() + path
	return w.send(request)
}

func TestBadPaths(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		path   string
		status int
		code   string
	}{
		{"/v1/key/", 400, "bad-request"},
		{"/v1/key/what?", 400, "bad-request"},
		{"/v1/key/what?is=this", 400, "bad-request"},
		{"/v1/key/" + strings.Repeat("k", 251), 414, "key-too-long"},
		{"/v1/key/" + strings.Repeat("%FF", 251), 414, "key-too-long"},
		{"/v1/key", 404, "no-such-path"},
		{"/v1%2Fkey/k", 404, "no-such-path"},
		{"/v1/keys/k", 404, "no-such-path"},
		{"/", 404, "no-such-path"},
		{"//v1/key/k", 404, "no-such-path"},
		{"/metrics", 404, "no-such-path"},
	} {
		w.rawPath("GET", test.path, nil).wantProblem(t, test.status, test.code)
	}
	// What is no URL does not get as far as a problem document.
	w.rawPath("GET", "/v1/key/%zz", nil).want(t, 400)
}

func TestMethods(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{"POST", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"} {
		w.do(method, "/v1/key/k", nil).wantProblem(t, 405, "method-not-allowed", "Allow: GET, HEAD, PUT, DELETE")
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		w.do(method, "/v1/keys", nil).wantProblem(t, 405, "method-not-allowed", "Allow: POST")
	}
}

func TestBodyLimit(t *testing.T) {
	w := newWorld(t)
	const limitBytes = 100 << 10
	tests := []struct {
		name   string
		body   func(n int) io.Reader
		length func(n int) int64
	}{
		{"with a length", func(n int) io.Reader { return bytes.NewReader(make([]byte, n)) }, func(n int) int64 { return int64(n) }},
		{"chunked", func(n int) io.Reader { return io.MultiReader(bytes.NewReader(make([]byte, n))) }, func(int) int64 { return -1 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for n, status := range map[int]int{limitBytes: 204, limitBytes + 1: 413, 1 << 20: 413} {
				request, err := http.NewRequest("PUT", w.g.URL()+"/v1/key/big", test.body(n))
				if err != nil {
					t.Fatal(err)
				}
				request.ContentLength = test.length(n)
				answer := w.send(request)
				if status == 204 {
					answer.want(t, 204)
					continue
				}
				answer.wantProblem(t, 413, "too-large")
			}
			if got := len(w.node.Value("big")); got != limitBytes {
				t.Errorf("%d bytes are stored", got)
			}
		})
	}
}

// TestTooLongIsNotAsked: what is too long stays in the gateway, of whatever length
// the sender speaks.
func TestTooLongIsNotAsked(t *testing.T) {
	puts := 0
	w := serve(t, withCache(&fakeCache{put: func(value []byte) (client.Version, error) {
		puts++
		return 1, nil
	}}))
	for n, status := range map[int]int{maxValueBytes: 204, maxValueBytes + 1: 413, 3 * maxValueBytes: 413} {
		w.do("PUT", "/v1/key/k", io.MultiReader(bytes.NewReader(make([]byte, n)))).want(t, status)
	}
	if puts != 1 {
		t.Errorf("%d values were passed on, want 1", puts)
	}
}

// TestRefusesBeforeTheBody: who waits for 100 Continue never sends what would be
// refused.
func TestRefusesBeforeTheBody(t *testing.T) {
	w := newWorld(t)
	for status, headers := range map[string][]string{
		"400": {"X-TTL-Seconds: soon", "Content-Length: 10"},
		"413": {"Content-Length: 1073741824"},
	} {
		t.Run(status, func(t *testing.T) {
			lines := append([]string{"PUT /v1/key/k HTTP/1.1", "Host: gannet", "Expect: 100-continue"}, headers...)
			answer := w.talk(strings.Join(lines, "\r\n") + "\r\n\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 "+status) {
				t.Errorf("answer: %s", answer)
			}
		})
	}
}

// TestCutBody: the beginning of a value is not a value.
func TestCutBody(t *testing.T) {
	w := newWorld(t)
	for name, request := range map[string]string{
		"with a length": "PUT /v1/key/cut HTTP/1.1\r\nHost: gannet\r\nContent-Length: 10\r\n\r\nhalf",
		"chunked":       "PUT /v1/key/cut HTTP/1.1\r\nHost: gannet\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"bad chunk":     "PUT /v1/key/cut HTTP/1.1\r\nHost: gannet\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if answer := w.talk(request); !strings.HasPrefix(answer, "HTTP/1.1 400") || !strings.Contains(answer, "body-cut") {
				t.Errorf("answer: %s", answer)
			}
			if got := w.node.Value("cut"); got != nil {
				t.Errorf("%q is stored", got)
			}
		})
	}
}

// TestAnyValueComesBack: any bytes under any key.
func TestAnyValueComesBack(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		key := string(rapid.SliceOfN(rapid.Byte(), 1, 250).Draw(rt, "key"))
		size := rapid.SampledFrom([]int{0, 1, 1000, 1500, 5000, 100 << 10}).Draw(rt, "size")
		random := rand.NewChaCha8([32]byte{byte(size), key[0]})
		value := make([]byte, size)
		_, _ = random.Read(value)
		path := "/v1/key/" + url.PathEscape(key)
		w.rawPath("PUT", path, bytes.NewReader(value)).want(t, 204)
		if get := w.rawPath("GET", path, nil); get.StatusCode != 200 || !bytes.Equal(get.body, value) {
			rt.Fatalf("key %q: %d, %d bytes of %d", key, get.StatusCode, len(get.body), size)
		}
	})
}
