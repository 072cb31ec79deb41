package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gannet/security/mtls"
	"gannet/test/cluster/bed"
)

// checkREST drives the gateway over HTTP, in front of one node and of a cluster, with
// and without TLS.
func checkREST(ctx context.Context, e *env) error {
	v := &verdict{}
	for _, nodes := range []int{1, 3} {
		if err := e.restAgainst(ctx, nodes, v); err != nil {
			return err
		}
	}
	note := "GET, HEAD, PUT, DELETE, conditions, TTLs, multi-get, limits, problems, mTLS; one node, then three"
	if len(v.wrong) > 0 {
		note = fmt.Sprintf("wrong: %.400s", strings.Join(v.wrong, "; "))
	}
	e.table.AtLeast("rest", float64(v.cases-len(v.wrong))/float64(v.cases), 1, int64(v.cases), "share of cases passed", note)
	return nil
}

// verdict counts cases, and tells what is wrong with those that failed.
type verdict struct {
	cases int
	wrong []string
}

func (v *verdict) check(name string, err error) {
	v.cases++
	if err != nil {
		v.wrong = append(v.wrong, name+": "+err.Error())
	}
}

func (e *env) restAgainst(ctx context.Context, nodes int, v *verdict) (err error) {
	b, err := bed.New(ctx, bed.Config{Bin: e.bin, Nodes: nodes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	server := b.Nodes()[0].Addr + ":" + strconv.Itoa(bed.DataPort)
	plain, err := e.startGateway(ctx, "--server="+server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.stop()) }()
	r := &rest{ctx: ctx, base: plain.url, http: &http.Client{Timeout: 10 * time.Second}, verdict: v, prefix: strconv.Itoa(nodes) + " nodes, "}
	for _, group := range []func(*rest){
		restItems, restTimes, restConditions, restKeys, restMany, restRefusals, restLimits,
	} {
		group(r)
	}
	return e.restTLS(server, r)
}

// gateway is a running `gannet gateway`.
type gateway struct {
	cmd  *exec.Cmd
	url  string
	addr string
	said bytes.Buffer
}

// startGateway starts one on a free port, and returns once it serves.
func (e *env) startGateway(ctx context.Context, flags ...string) (*gateway, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gateway{addr: listener.Addr().String()}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	g.url = "http://" + g.addr
	g.cmd = exec.Command(filepath.Join(e.bin, "gannet"), append([]string{"gateway", "--listen=" + g.addr, "--timeout=5s"}, flags...)...)
	g.cmd.Stdout, g.cmd.Stderr = &g.said, &g.said
	if err := here(g.cmd); err != nil {
		return nil, err
	}
	err = until(ctx, func() (bool, error) {
		conn, err := net.Dial("tcp", g.addr)
		if err != nil {
			return false, nil //nolint:nilerr // not yet
		}
		return true, conn.Close()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the gateway does not listen: %w", err), g.stop())
	}
	return g, nil
}

// stop ends it in order.
func (g *gateway) stop() error {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("the gateway after SIGTERM: %w: %s", err, g.said.String())
	}
	return nil
}

// rest asks a gateway, and checks what it answers.
type rest struct {
	*verdict
	ctx    context.Context
	base   string
	http   *http.Client
	prefix string
}

// ask is a request, and what its answer must be.
type ask struct {
	name    string
	method  string
	path    string
	body    io.Reader
	headers map[string]string
	status  int
	problem string            // code; the body must be its document
	has     map[string]string // headers of the answer; "" : absent
	value   *string           // body
}

type fields = map[string]string

// do asks. The answer is nil when there was none.
func (r *rest) do(a ask) (header http.Header, body string) {
	header, body, err := r.answer(a)
	r.check(r.prefix+a.name, err)
	return header, body
}

func (r *rest) answer(a ask) (http.Header, string, error) {
	request, err := http.NewRequestWithContext(r.ctx, a.method, r.base+a.path, a.body)
	if err != nil {
		return nil, "", err
	}
	for name, value := range a.headers {
		request.Header.Set(name, value)
	}
	response, err := r.http.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, "", err
	}
	return response.Header, string(data), a.judge(response, string(data))
}

func (a *ask) judge(response *http.Response, body string) error {
	if response.StatusCode != a.status {
		return fmt.Errorf("status %d instead of %d: %.100s", response.StatusCode, a.status, body)
	}
	for name, want := range a.has {
		if got := strings.Join(response.Header.Values(name), ","); got != want {
			return fmt.Errorf("%s is %q instead of %q", name, got, want)
		}
	}
	if a.value != nil && body != *a.value {
		return fmt.Errorf("%d bytes, not the %d expected", len(body), len(*a.value))
	}
	if a.problem != "" && a.method != http.MethodHead {
		return judgeProblem(response, body, a.problem)
	}
	return nil
}

// judgeProblem holds a document against RFC 9457.
func judgeProblem(response *http.Response, body, code string) error {
	var document struct {
		Type, Title, Detail string
		Status              int
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/problem+json" {
		return fmt.Errorf("a problem as %q", kind)
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		return err
	}
	if document.Type != "urn:gannet:problem:"+code || document.Status != response.StatusCode || document.Title == "" || document.Detail == "" {
		return fmt.Errorf("problem %+v instead of %s", document, code)
	}
	return nil
}

func text(s string) *string { return &s }

func restItems(r *rest) {
	binary := string([]byte{0, 255, '\r', '\n', 0, 128}) + strings.Repeat("\xFE", 2000)
	long := strings.Repeat("long value ", 9000)
	r.do(ask{name: "miss", method: "GET", path: "/v1/key/items:a", status: 404, problem: "not-found", has: fields{"Cache-Control": "no-store"}})
	r.do(ask{name: "delete a missing key", method: "DELETE", path: "/v1/key/items:a", status: 404, problem: "not-found"})
	put, _ := r.do(ask{name: "put", method: "PUT", path: "/v1/key/items:a", body: strings.NewReader("hello"), status: 204})
	r.do(ask{
		name: "get", method: "GET", path: "/v1/key/items:a", status: 200, value: text("hello"),
		has: fields{
			"ETag": put.Get("ETag"), "X-Version": strings.Trim(put.Get("ETag"), `"`), "X-TTL-Seconds": "", "Cache-Control": "no-cache",
			"Content-Length": "5", "Content-Type": "application/octet-stream",
		},
	})
	r.do(ask{name: "head", method: "HEAD", path: "/v1/key/items:a", status: 200, value: text(""), has: fields{"Content-Length": "5", "ETag": put.Get("ETag")}})
	r.do(ask{name: "put binary", method: "PUT", path: "/v1/key/items:b", body: strings.NewReader(binary), status: 204})
	r.do(ask{name: "get binary", method: "GET", path: "/v1/key/items:b", status: 200, value: &binary})
	r.do(ask{name: "put empty", method: "PUT", path: "/v1/key/items:e", body: http.NoBody, status: 204})
	r.do(ask{name: "get empty", method: "GET", path: "/v1/key/items:e", status: 200, value: text("")})
	r.do(ask{name: "put long", method: "PUT", path: "/v1/key/items:l", body: strings.NewReader(long), status: 204})
	r.do(ask{name: "get long", method: "GET", path: "/v1/key/items:l", status: 200, value: &long})
	again, _ := r.do(ask{name: "put anew", method: "PUT", path: "/v1/key/items:a", body: strings.NewReader("newer"), status: 204})
	older, _ := strconv.ParseUint(put.Get("X-Version"), 10, 64)
	newer, _ := strconv.ParseUint(again.Get("X-Version"), 10, 64)
	r.check(r.prefix+"versions grow", mustHold(newer > older, "%d, then %d", older, newer))
	r.do(ask{name: "delete", method: "DELETE", path: "/v1/key/items:a", status: 204})
	r.do(ask{name: "deleted", method: "GET", path: "/v1/key/items:a", status: 404, problem: "not-found"})
}

func mustHold(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func restTimes(r *rest) {
	put := func(name string, headers fields, status int, problem string) {
		r.do(ask{name: name, method: "PUT", path: "/v1/key/times:" + name, body: strings.NewReader("v"), headers: headers, status: status, problem: problem})
	}
	put("ttl", fields{"X-TTL-Seconds": "100"}, 204, "")
	header, _ := r.do(ask{name: "ttl of an item", method: "GET", path: "/v1/key/times:ttl", status: 200})
	left, _ := strconv.Atoi(header.Get("X-TTL-Seconds"))
	age, _ := strconv.Atoi(header.Get("Age"))
	r.check(r.prefix+"ttl left", mustHold(left > 80 && left <= 100, "%d s", left))
	r.check(r.prefix+"max-age is age plus ttl", mustHold(header.Get("Cache-Control") == fmt.Sprintf("max-age=%d", age+left), "%v", header))
	for _, bad := range []string{"0", "-1", "1.5", "+5", "soon", "", "31104001", "99999999999999999999"} {
		put("ttl "+bad, fields{"X-TTL-Seconds": bad}, 400, "bad-request")
	}
	put("soft above hard", fields{"X-TTL-Seconds": "5", "X-Soft-TTL-Seconds": "5"}, 400, "bad-request")
	put("short", fields{"X-TTL-Seconds": "1"}, 204, "")
	put("soft", fields{"X-TTL-Seconds": "1000", "X-Soft-TTL-Seconds": "1"}, 204, "")
	r.check(r.prefix+"expires", until(r.ctx, func() (bool, error) {
		_, _, err := r.answer(ask{method: "GET", path: "/v1/key/times:short", status: 404, problem: "not-found"})
		return err == nil, nil
	}))
	r.check(r.prefix+"goes stale", until(r.ctx, func() (bool, error) {
		_, _, err := r.answer(ask{
			method: "GET", path: "/v1/key/times:soft", status: 200, value: text("v"), has: fields{"X-Stale": "true", "Cache-Control": "no-cache"},
		})
		return err == nil, nil
	}))
}

func restConditions(r *rest) {
	const path = "/v1/key/conditions:a"
	put := func(name string, headers fields, status int, problem string) http.Header {
		header, _ := r.do(ask{name: name, method: "PUT", path: path, body: strings.NewReader(name), headers: headers, status: status, problem: problem})
		return header
	}
	put("replace nothing", fields{"If-Match": "*"}, 412, "absent")
	put("swap nothing", fields{"If-Match": `"1"`}, 412, "absent")
	first := put("add", fields{"If-None-Match": "*"}, 201, "").Get("ETag")
	put("add again", fields{"If-None-Match": "*"}, 412, "exists")
	second := put("replace", fields{"If-Match": "*"}, 204, "").Get("ETag")
	put("swap an old version", fields{"If-Match": first}, 412, "version-mismatch")
	put("weak tags never match", fields{"If-Match": "W/" + second}, 412, "version-mismatch")
	third := put("swap one of a list", fields{"If-Match": first + ", " + second}, 204, "").Get("ETag")
	fourth := put("swap", fields{"If-Match": third}, 204, "").Get("ETag")
	put("no tag", fields{"If-Match": "unquoted"}, 400, "bad-request")
	put("both", fields{"If-Match": fourth, "If-None-Match": "*"}, 400, "bad-request")
	put("unless version", fields{"If-None-Match": fourth}, 501, "unsupported-condition")
	get := func(name string, headers fields, status int, problem string) {
		a := ask{name: name, method: "GET", path: path, headers: headers, status: status, problem: problem}
		if status == 304 {
			a.value, a.has = text(""), fields{"ETag": fourth}
		}
		r.do(a)
	}
	get("not modified", fields{"If-None-Match": fourth}, 304, "")
	get("not modified, weakly", fields{"If-None-Match": first + ",W/" + fourth}, 304, "")
	get("modified", fields{"If-None-Match": first}, 200, "")
	get("if it is that", fields{"If-Match": fourth}, 200, "")
	get("if it were that", fields{"If-Match": first}, 412, "version-mismatch")
	r.do(ask{name: "delete a version", method: "DELETE", path: path, headers: fields{"If-Match": fourth}, status: 501, problem: "unsupported-condition"})
	r.do(ask{name: "delete if there", method: "DELETE", path: path, headers: fields{"If-Match": "*"}, status: 204})
}

func restKeys(r *rest) {
	for name, path := range map[string]string{
		"slashes": "a//b/../c", "encoded slash": "a%2Fb", "percent": "50%25%20off%3F%23", "plus": "a+b", "bytes": "%00%FF%0A",
		"longest": strings.Repeat("k", 250), "utf-8": "schl%C3%BCssel",
	} {
		full := "/v1/key/keys:" + path
		if name == "longest" {
			full = "/v1/key/" + path
		}
		r.do(ask{name: "put key with " + name, method: "PUT", path: full, body: strings.NewReader(name), status: 204})
		r.do(ask{name: "get key with " + name, method: "GET", path: full, status: 200, value: &name})
	}
	r.do(ask{name: "slash either way", method: "GET", path: "/v1/key/keys:a/b", status: 200, value: text("encoded slash")})
	r.do(ask{name: "plus is no space", method: "GET", path: "/v1/key/keys:a%20b", status: 404, problem: "not-found"})
	r.do(ask{name: "key too long", method: "GET", path: "/v1/key/" + strings.Repeat("k", 251), status: 414, problem: "key-too-long"})
	r.do(ask{name: "no key", method: "GET", path: "/v1/key/", status: 400, problem: "bad-request"})
	r.do(ask{name: "query", method: "GET", path: "/v1/key/a?b", status: 400, problem: "bad-request"})
}

// many is the answer to POST /v1/keys.
type many struct {
	Items []struct {
		Key     string
		Found   bool
		Value   string `json:"value_base64"`
		Version string
		TTL     *int `json:"ttl_seconds"`
		Age     *int `json:"age_seconds"`
	}
	Hits, Misses, Problems int
}

func restMany(r *rest) {
	var keys []string
	for n := range 200 {
		key := fmt.Sprintf("many:%d", n)
		keys = append(keys, key)
		if n%4 == 0 {
			continue
		}
		if _, _, err := r.answer(ask{method: "PUT", path: "/v1/key/" + key, body: strings.NewReader("value of " + key), headers: fields{"X-TTL-Seconds": "500"}, status: 204}); err != nil {
			r.check(r.prefix+"put "+key, err)
		}
	}
	body, _ := json.Marshal(map[string]any{"keys": keys}) // strings always encode
	_, answer := r.do(ask{name: "multi-get", method: "POST", path: "/v1/keys", body: bytes.NewReader(body), headers: fields{"Content-Type": "application/json"}, status: 200})
	var got many
	err := json.Unmarshal([]byte(answer), &got)
	if err == nil {
		err = got.judge(keys)
	}
	r.check(r.prefix+"items of a multi-get", err)
	post := func(name, body, kind string, status int, problem string) {
		r.do(ask{name: name, method: "POST", path: "/v1/keys", body: strings.NewReader(body), headers: fields{"Content-Type": kind}, status: status, problem: problem})
	}
	post("no JSON", "keys", "application/json", 400, "bad-request")
	post("no list", `{"keys": "a"}`, "application/json", 400, "bad-request")
	post("unknown member", `{"keyz": []}`, "application/json", 400, "bad-request")
	post("media type", `{"keys": ["a"]}`, "text/plain", 415, "media-type")
	tooMany, _ := json.Marshal(map[string]any{"keys": make([]string, 1001)})
	post("too many keys", string(tooMany), "application/json", 413, "too-many-keys")
}

func (m *many) judge(keys []string) error {
	if len(m.Items) != len(keys) || m.Hits != len(keys)*3/4 || m.Misses != len(keys)/4 || m.Problems != 0 {
		return fmt.Errorf("%d items, %d hits, %d misses, %d problems", len(m.Items), m.Hits, m.Misses, m.Problems)
	}
	for n, item := range m.Items {
		want := "value of " + keys[n]
		value, err := base64.StdEncoding.DecodeString(item.Value)
		switch {
		case item.Key != keys[n] || err != nil || item.Found == (n%4 == 0):
			return fmt.Errorf("item %d: %+v", n, item)
		case item.Found && (string(value) != want || item.Version == "" || item.TTL == nil || item.Age == nil):
			return fmt.Errorf("item %d: %+v", n, item)
		}
	}
	return nil
}

func restRefusals(r *rest) {
	r.do(ask{name: "no such path", method: "GET", path: "/v2/key/a", status: 404, problem: "no-such-path"})
	r.do(ask{name: "post to a key", method: "POST", path: "/v1/key/a", status: 405, problem: "method-not-allowed", has: fields{"Allow": "GET, HEAD, PUT, DELETE"}})
	r.do(ask{name: "get the list", method: "GET", path: "/v1/keys", status: 405, problem: "method-not-allowed", has: fields{"Allow": "POST"}})
	r.do(ask{
		name: "encoded body", method: "PUT", path: "/v1/key/a", body: strings.NewReader("v"), headers: fields{"Content-Encoding": "gzip"},
		status: 415, problem: "content-encoding",
	})
	r.do(ask{name: "part of a value", method: "PUT", path: "/v1/key/a", body: strings.NewReader("v"), headers: fields{"Content-Range": "bytes 0-0/9"}, status: 400, problem: "bad-request"})
	r.check(r.prefix+"a body that is cut short", r.cutShort())
}

// cutShort sends half of a body. Nothing of it may be stored.
func (r *rest) cutShort() error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.base, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	fmt.Fprintf(conn, "PUT /v1/key/cut HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100\r\n\r\nonly so much")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if err := judgeProblem(response, string(body), "body-cut"); err != nil {
		return err
	}
	_, _, err = r.answer(ask{method: "GET", path: "/v1/key/cut", status: 404, problem: "not-found"})
	return err
}

// hidden is a body whose length is not announced.
type hidden struct{ io.Reader }

func restLimits(r *rest) {
	const longest = 100 << 10 // the node's default
	for name, body := range map[string]func(int) io.Reader{
		"announced": func(n int) io.Reader { return bytes.NewReader(make([]byte, n)) },
		"chunked":   func(n int) io.Reader { return hidden{bytes.NewReader(make([]byte, n))} },
	} {
		r.do(ask{name: "longest value, " + name, method: "PUT", path: "/v1/key/limits:" + name, body: body(longest), status: 204})
		r.do(ask{name: "get the longest value, " + name, method: "GET", path: "/v1/key/limits:" + name, status: 200, value: text(string(make([]byte, longest)))})
		r.do(ask{name: "too long a value, " + name, method: "PUT", path: "/v1/key/limits:over:" + name, body: body(longest + 1), status: 413, problem: "too-large"})
		r.do(ask{name: "far too long a value, " + name, method: "PUT", path: "/v1/key/limits:over:" + name, body: body(8 << 20), status: 413, problem: "too-large"})
		r.do(ask{name: "nothing of it is stored, " + name, method: "GET", path: "/v1/key/limits:over:" + name, status: 404, problem: "not-found"})
	}
}

// restTLS asks a gateway that wants certificates.
func (e *env) restTLS(server string, r *rest) (err error) {
	dir, err := os.MkdirTemp("", "gannet-rest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	for _, certs := range []string{ours, theirs} {
		opts := mtls.DevOptions{NodeNames: []string{"gateway"}, Hosts: []string{"127.0.0.1"}, ValidFor: time.Hour, Now: time.Now()}
		if err := mtls.DevCA(certs, opts); err != nil {
			return err
		}
	}
	files := mtls.DevFiles(ours, "gateway")
	g, err := e.startGateway(r.ctx, "--server="+server, "--tls-cert="+files.Cert, "--tls-key="+files.Key, "--tls-client-ca="+files.CA)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	get := ask{method: "GET", path: "/v1/key/tls", status: 404, problem: "not-found"}
	with := func(certs string, version uint16) error {
		transport, err := tlsTransport(files.CA, certs, version)
		if err != nil {
			return err
		}
		defer transport.CloseIdleConnections()
		asker := *r
		asker.base, asker.http = "https://"+g.addr, &http.Client{Transport: transport, Timeout: 10 * time.Second}
		_, _, err = asker.answer(get)
		return err
	}
	r.check(r.prefix+"a certificate of ours", with(ours, tls.VersionTLS13))
	r.check(r.prefix+"no certificate", mustHold(with("", tls.VersionTLS13) != nil, "was let in"))
	r.check(r.prefix+"another authority's certificate", mustHold(with(theirs, tls.VersionTLS13) != nil, "was let in"))
	r.check(r.prefix+"TLS 1.2", mustHold(with(ours, tls.VersionTLS12) != nil, "was let in"))
	plain := *r
	plain.base = "http://" + g.addr
	_, _, plainErr := plain.answer(get)
	r.check(r.prefix+"no TLS", mustHold(plainErr != nil, "was let in"))
	return nil
}

// tlsTransport shows the client's certificate from a directory, or none.
func tlsTransport(ca, certs string, version uint16) (*http.Transport, error) {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: version, MaxVersion: version}
	config.RootCAs.AppendCertsFromPEM(pem)
	if certs != "" {
		files := mtls.DevFiles(certs, "client")
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: config}, nil
}
