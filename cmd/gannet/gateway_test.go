package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// verb is one that runs until it is told to end, in this process.
type verb struct {
	t       *testing.T
	name    string
	signals chan os.Signal
	lines   *bufio.Scanner // of both streams
	code    chan int
}

// startVerb runs a verb and ends it with the test.
func startVerb(t *testing.T, args ...string) *verb {
	t.Helper()
	reader, writer := io.Pipe()
	v := &verb{t: t, name: args[0], signals: make(chan os.Signal, 1), lines: bufio.NewScanner(reader), code: make(chan int, 1)}
	go func() {
		v.code <- run(&Env{
			Args: args, Program: "gannet", Environ: append(os.Environ(), "GANNET_DATAPLANE_BINARY="+dataplanePath),
			Stdin: strings.NewReader(""), Stdout: writer, Stderr: writer, Signals: v.signals,
		})
		_ = writer.Close()
	}()
	t.Cleanup(v.stop)
	return v
}

// await reads on until a line matches, and returns what the group does.
func (v *verb) await(pattern string) string {
	v.t.Helper()
	expression := regexp.MustCompile(pattern)
	for v.lines.Scan() {
		v.t.Logf("%s: %s", v.name, v.lines.Text())
		if found := expression.FindStringSubmatch(v.lines.Text()); found != nil {
			return found[len(found)-1]
		}
	}
	v.t.Fatalf("%s ended before it said %q", v.name, pattern)
	return ""
}

// stop ends the verb by SIGTERM; its exit code must be 0.
func (v *verb) stop() {
	v.signals <- unix.SIGTERM
	for v.lines.Scan() {
		v.t.Logf("%s: %s", v.name, v.lines.Text())
	}
	if code := <-v.code; code != exitDone {
		v.t.Errorf("%s ended with %d", v.name, code)
	}
}

func freeUDPPort(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return strconv.Itoa(conn.LocalAddr().(*net.UDPAddr).Port)
}

// ask sends a request and returns the answer with its body read.
func ask(t *testing.T, method, url string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, content
}

// number reads a header.
func number(t *testing.T, response *http.Response, header string) int {
	t.Helper()
	n, err := strconv.Atoi(response.Header.Get(header))
	if err != nil {
		t.Errorf("header %s: %v", header, err)
	}
	return n
}

// TestGateway takes values through a gateway to a real node and back.
func TestGateway(t *testing.T) {
	port := freeUDPPort(t)
	node := startVerb(t, "dev", "--data-port", port, "--admin", "127.0.0.1:0", "--control-port", "0", "--gossip-port", "0", "--memory", "32MiB")
	node.await(`^Ctrl-C ends it\.$`)
	rest := startVerb(t, "gateway", "--server", "127.0.0.1:"+port, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	admin := rest.await(`msg="admin port" url=(\S+)`)
	keys := rest.await(`msg="REST port" url=(\S+)`) + "/v1/key/"

	for name, value := range map[string][]byte{"small": {0, 1, 0xFF}, "empty": {}, "in%20parts/100%25": bytes.Repeat([]byte{0xC0, 0}, 50_000)} {
		put, body := ask(t, "PUT", keys+name, value, "X-TTL-Seconds: 60")
		if put.StatusCode != 204 {
			t.Fatalf("PUT %s: %d %s", name, put.StatusCode, body)
		}
		get, got := ask(t, "GET", keys+name, nil)
		// A PUT whose answer was slow is sent again and stored again, as a newer version.
		if get.StatusCode != 200 || !bytes.Equal(got, value) || number(t, get, "X-Version") < number(t, put, "X-Version") {
			t.Errorf("GET %s: %d, %d bytes, headers %v; PUT gave %s", name, get.StatusCode, len(got), get.Header, put.Header.Get("ETag"))
		}
		if ttlSeconds := number(t, get, "X-TTL-Seconds"); ttlSeconds < 1 || ttlSeconds > 60 {
			t.Errorf("X-TTL-Seconds %d", ttlSeconds)
		}
	}
	first, _ := ask(t, "GET", keys+"small", nil)
	for _, step := range []struct {
		method, key, header string
		status              int
	}{
		{"GET", "small", "If-None-Match: " + first.Header.Get("ETag"), 304},
		{"PUT", "small", "If-None-Match: *", 412},
		{"PUT", "small", `If-Match: "1"`, 412},
		{"PUT", "small", "If-Match: " + first.Header.Get("ETag"), 204},
		{"PUT", "small", "If-Match: " + first.Header.Get("ETag"), 412},
		{"PUT", "small", "If-Match: *", 204},
		{"PUT", "absent", "If-Match: *", 412},
		{"PUT", "absent", "If-None-Match: *", 201},
	} {
		if got, body := ask(t, step.method, keys+step.key, []byte("v"), step.header); got.StatusCode != step.status {
			t.Errorf("%s %s with %s: %d, want %d: %s", step.method, step.key, step.header, got.StatusCode, step.status, body)
		}
	}
	// So is a DELETE, and then it may find nothing.
	if got, body := ask(t, "DELETE", keys+"small", nil); got.StatusCode != 204 && got.StatusCode != 404 {
		t.Errorf("DELETE: %d %s", got.StatusCode, body)
	}
	for _, method := range []string{"DELETE", "GET"} {
		if got, body := ask(t, method, keys+"small", nil); got.StatusCode != 404 {
			t.Errorf("%s after a DELETE: %d %s", method, got.StatusCode, body)
		}
	}
	if got, body := ask(t, "PUT", keys+"huge", make([]byte, 1<<20+1)); got.StatusCode != 413 {
		t.Errorf("PUT of more than a node can store: %d %s", got.StatusCode, body)
	}
	multi, body := ask(t, "POST", strings.TrimSuffix(keys, "/key/")+"/keys", []byte(`{"keys":["absent","empty","small"]}`), "Content-Type: application/json")
	if multi.StatusCode != 200 || !bytes.Contains(body, []byte(`"hits":2,"misses":1,"problems":0`)) {
		t.Errorf("multi-get: %d %s", multi.StatusCode, body)
	}
	if _, page := ask(t, "GET", admin+"/metrics", nil); !bytes.Contains(page, []byte(`gannet_gateway_requests_total{code="304",method="GET",route="key"} 1`)) {
		t.Errorf("metrics: %s", page)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestGatewayReloadsOnHangup: SIGHUP takes over a certificate at once.
func TestGatewayReloadsOnHangup(t *testing.T) {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	write := func(name string) {
		certPEM, keyPEM := selfSigned(t, name)
		for i, content := range [][]byte{certPEM, keyPEM} {
			if err := os.WriteFile(files[i], content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("before")
	rest := startVerb(t, "gateway", "--listen", "127.0.0.1:0", "--tls-cert", files[0], "--tls-key", files[1])
	addr := strings.TrimPrefix(rest.await(`msg="REST port" url=(\S+)`), "https://")
	for _, name := range []string{"before", "after"} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != name {
			t.Errorf("the certificate is of %q, want %q", got, name)
		}
		conn.Close()
		if name == "before" {
			write("after")
			rest.signals <- unix.SIGHUP
			rest.await(`msg="TLS files read again"`)
		}
	}
}

func selfSigned(t *testing.T, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func TestGatewayMistakes(t *testing.T) {
	for want, args := range map[string][]string{
		"--tls-cert is given without --tls-key": {"--tls-cert", "/nonexistent"},
		"--tls-key is given without --tls-cert": {"--tls-key", "/nonexistent"},
		"give --tls-cert and --tls-key, too":    {"--tls-client-ca", "/nonexistent"},
		"choose another with --listen":          {"--listen", "127.0.0.1:99999"},
		"--max-in-flight 0 serves nobody":       {"--max-in-flight", "0"},
		"give host:port":                        {"--server", "no such host:x"},
		"is zero":                               {"--timeout", "0"},
	} {
		var out, errs bytes.Buffer
		code := run(&Env{Args: append([]string{"gateway"}, args...), Stdout: &out, Stderr: &errs, Signals: make(chan os.Signal)})
		if code != exitError || !strings.Contains(errs.String(), want) || out.Len() != 0 {
			t.Errorf("%v: exit code %d, stderr %q, stdout %q; want %q", args, code, errs.String(), out.String(), want)
		}
	}
}
