package gateway

import (
	"net/http"
	"strings"
	"testing"

	"gannet/client"
)

// TestConditions is the whole matrix. V stands for the item's version.
func TestConditions(t *testing.T) {
	const absent = "absent"
	tests := []struct {
		method, item, header string
		status               int
		code                 string
	}{
		{"GET", "", `If-None-Match: "V"`, 304, ""},
		{"HEAD", "", `If-None-Match: "V"`, 304, ""},
		{"GET", "", `If-None-Match: W/"V"`, 304, ""},
		{"GET", "", `If-None-Match: "other" , "V"`, 304, ""},
		{"GET", "", `If-None-Match: *`, 304, ""},
		{"GET", "", `If-None-Match: "1"`, 200, ""},
		{"GET", "", `If-Match: "V"`, 200, ""},
		{"GET", "", `If-Match: *`, 200, ""},
		{"GET", "", `If-Match: W/"V"`, 412, "version-mismatch"},
		{"GET", "", `If-Match: "1"`, 412, "version-mismatch"},
		{"GET", "", `If-None-Match: V`, 400, "bad-request"},
		{"GET", "", `If-None-Match: "1" "V"`, 400, "bad-request"},
		{"GET", absent, `If-None-Match: *`, 404, "not-found"},
		{"GET", absent, `If-Match: "V"`, 404, "not-found"},

		{"PUT", "", `If-None-Match: *`, 412, "exists"},
		{"PUT", absent, `If-None-Match: *`, 201, ""},
		{"PUT", "", `If-None-Match: "1"`, 501, "unsupported-condition"},
		{"PUT", "", `If-Match: *`, 204, ""},
		{"PUT", absent, `If-Match: *`, 412, "absent"},
		{"PUT", "", `If-Match: "V"`, 204, ""},
		{"PUT", "", `If-Match: "1", "V"`, 204, ""},
		{"PUT", "", `If-Match: "1"`, 412, "version-mismatch"},
		{"PUT", "", `If-Match: "1", "2"`, 412, "version-mismatch"},
		{"PUT", "", `If-Match: W/"V"`, 412, "version-mismatch"},
		{"PUT", "", `If-Match: "0V"`, 412, "version-mismatch"},
		{"PUT", "", `If-Match: "0"`, 412, "version-mismatch"},
		{"PUT", "", `If-Match: "not ours"`, 400, "bad-request"},
		{"PUT", "", `If-Match: "not-ours"`, 412, "version-mismatch"},
		{"PUT", absent, `If-Match: "1"`, 412, "absent"},
		{"PUT", absent, `If-Match: "1", "2"`, 412, "absent"},
		{"PUT", "", `If-Match: `, 400, "bad-request"},
		{"PUT", "", `If-Match: *, "V"`, 400, "bad-request"},

		{"DELETE", "", `If-Match: *`, 204, ""},
		{"DELETE", absent, `If-Match: *`, 404, "not-found"},
		{"DELETE", "", `If-Match: "V"`, 501, "unsupported-condition"},
		{"DELETE", "", `If-None-Match: *`, 501, "unsupported-condition"},
		{"DELETE", "", `If-Match: x`, 400, "bad-request"},
	}
	w := newWorld(t)
	for _, test := range tests {
		t.Run(test.method+" "+test.item+" "+test.header, func(t *testing.T) {
			w.node.Forget("k")
			version := client.Version(7)
			if test.item != absent {
				version = client.Version(w.node.Set("k", []byte("before")))
			}
			header := strings.ReplaceAll(test.header, "V", versionText(version))
			answer := w.do(test.method, "/v1/key/k", strings.NewReader("after"), header)
			if test.code != "" {
				answer.wantProblem(t, test.status, test.code)
			} else {
				answer.want(t, test.status)
			}
			w.wantStored(test.method, test.item != absent, answer)
		})
	}
}

// wantStored checks that a refused request has changed nothing and one that was
// carried out has done its work.
func (w *world) wantStored(method string, was bool, answer *reply) {
	w.Helper()
	want, done := "", answer.StatusCode < 300
	switch {
	case done && method == "PUT":
		want = "after"
	case was && (!done || method != "DELETE"):
		want = "before"
	}
	if got := string(w.node.Value("k")); got != want {
		w.Errorf("%s answered %d and left %q, want %q", method, answer.StatusCode, got, want)
	}
	if method == "PUT" && done {
		w.do("GET", "/v1/key/k", nil).want(w.T, 200, "ETag: "+answer.Header.Get("ETag"))
	}
}

func TestNotModifiedDescribes(t *testing.T) {
	w := newWorld(t)
	put := w.do("PUT", "/v1/key/k", strings.NewReader("v"), "X-TTL-Seconds: 60")
	answer := w.do("GET", "/v1/key/k", nil, "If-None-Match: "+put.Header.Get("ETag"))
	answer.want(t, 304, "ETag: "+put.Header.Get("ETag"), "Cache-Control: max-age=60", "Age: 0", "X-TTL-Seconds: 60", "Content-Type:")
	if len(answer.body) != 0 {
		t.Errorf("body %q", answer.body)
	}
}

func TestContradiction(t *testing.T) {
	w := newWorld(t)
	w.do("PUT", "/v1/key/k", strings.NewReader("v"), `If-Match: "1"`, `If-None-Match: *`).wantProblem(t, 400, "bad-request")
}

func TestSeveralFieldsAreOneList(t *testing.T) {
	w := newWorld(t)
	version := client.Version(w.node.Set("k", []byte("v")))
	w.do("GET", "/v1/key/k", nil, `If-None-Match: "1"`, `If-None-Match: `+etag(version)).want(t, 304)
}

// FuzzCondition: the parser ends, and what it takes means what it says.
func FuzzCondition(f *testing.F) {
	for _, seed := range []string{`"1"`, `*`, `W/"1", "2"`, `"a,b" ,, W/""`, `"`, ``, `"1""2"`, `W/`, "\t\"1\"\t", `"1" "2"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCondition("If-Match", []string{text})
		if err != nil {
			return
		}
		if c.any == (len(c.tags) > 0) {
			t.Fatalf("%q: any %v with %d tags", text, c.any, len(c.tags))
		}
		var again []string
		for _, tag := range c.tags {
			written := `"` + tag.opaque + `"`
			if tag.weak {
				written = "W/" + written
			}
			if !strings.Contains(text, written) {
				t.Fatalf("%q has no %s", text, written)
			}
			again = append(again, written)
		}
		if !c.any {
			if twice, err := parseCondition("If-Match", again); err != nil || len(twice.tags) != len(c.tags) {
				t.Fatalf("%q: read again: %v, %v", text, twice, err)
			}
		}
		for _, v := range c.versions() {
			if !c.strongly(v) || !c.weakly(v) {
				t.Fatalf("%q: version %d is listed and does not match", text, v)
			}
		}
	})
}

var _ http.Handler = (*Gateway)(nil)
