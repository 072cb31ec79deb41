package gateway

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// gathered returns the value of a series as /metrics shows it, empty for none.
func gathered(t *testing.T, g *Gateway, series string) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(g.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	return valueOf(recorder.Body.String(), series)
}

func valueOf(page, series string) string {
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestMetrics(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Admin = "127.0.0.1:0" })
	w.do("PUT", "/v1/key/k", strings.NewReader("hello")).want(t, 204)
	w.do("GET", "/v1/key/k", nil).want(t, 200)
	w.do("HEAD", "/v1/key/k", nil).want(t, 200)
	w.do("GET", "/v1/key/absent", nil).want(t, 404)
	w.do("MADEUP", "/v1/key/k", nil).want(t, 405)
	w.do("GET", "/elsewhere", nil).want(t, 404)
	w.do("POST", "/v1/keys", strings.NewReader(`{"keys":["k","absent"]}`), "Content-Type: application/json").want(t, 200)

	response, err := http.Get("http://" + w.g.AdminAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	for series, want := range map[string]string{
		`gannet_gateway_requests_total{code="204",method="PUT",route="key"}`:      "1",
		`gannet_gateway_requests_total{code="200",method="GET",route="key"}`:      "1",
		`gannet_gateway_requests_total{code="405",method="other",route="key"}`:    "1",
		`gannet_gateway_requests_total{code="404",method="GET",route="other"}`:    "1",
		`gannet_gateway_requests_total{code="200",method="POST",route="keys"}`:    "1",
		`gannet_gateway_request_duration_seconds_count{method="GET",route="key"}`: "2",
		`gannet_gateway_requests_in_flight`:                                       "0",
		`gannet_gateway_reads_total{result="hit"}`:                                "3",
		`gannet_gateway_reads_total{result="miss"}`:                               "2",
		`gannet_gateway_problems_total{code="method-not-allowed"}`:                "1",
		`gannet_gateway_problems_total{code="not-found"}`:                         "1",
		`gannet_gateway_problems_total{code="no-such-path"}`:                      "1",
		`gannet_gateway_received_bytes_total`:                                     "5",
		`gannet_gateway_sent_bytes_total`:                                         "10",
	} {
		if got := valueOf(string(page), series); got != want {
			t.Errorf("%s is %q, want %s", series, got, want)
		}
	}
	problems, err := promlint.New(strings.NewReader(string(page))).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestNoAdminUnlessAsked(t *testing.T) {
	w := newWorld(t)
	if addr := w.g.AdminAddr(); addr != "" {
		t.Errorf("an admin port listens on %s", addr)
	}
}
