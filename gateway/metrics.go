package gateway

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gannet/client"
	"gannet/security/mtls"
)

// metrics are a gateway's own. No label comes from a request unchecked.
type metrics struct {
	registry      *prometheus.Registry
	requests      *prometheus.CounterVec
	seconds       *prometheus.HistogramVec
	inFlight      prometheus.Gauge
	reads         *prometheus.CounterVec
	problems      *prometheus.CounterVec
	receivedBytes prometheus.Counter
	sentBytes     prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gannet_gateway_requests_total", Help: "HTTP requests answered, by route, method and status.",
		}, []string{"route", "method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gannet_gateway_request_duration_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12), // 0.1 ms to 2.4 s
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gannet_gateway_requests_in_flight", Help: "HTTP requests being served.",
		}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gannet_gateway_reads_total", Help: "Keys asked for, by result: hit, miss or error.",
		}, []string{"result"}),
		problems: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gannet_gateway_problems_total", Help: "Requests, and keys of multi-gets, answered with a problem, by its code.",
		}, []string{"code"}),
		receivedBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gannet_gateway_received_bytes_total", Help: "Bytes of values received to be stored.",
		}),
		sentBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gannet_gateway_sent_bytes_total", Help: "Bytes of values sent, before base64.",
		}),
	}
	m.registry.MustRegister(
		m.requests, m.seconds, m.inFlight, m.reads, m.problems, m.receivedBytes, m.sentBytes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// observeTLS shows what the store counts.
func (m *metrics) observeTLS(store *mtls.Store) {
	counter := func(name, help, label, value string, of func(mtls.Stats) uint64) {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{label: value},
		}, func() float64 { return float64(of(store.Stats())) }))
	}
	const reloads = "Changes of the certificate files, by result: taken or refused."
	counter("gannet_gateway_tls_reloads_total", reloads, "result", "taken", func(s mtls.Stats) uint64 { return s.ReloadsTaken })
	counter("gannet_gateway_tls_reloads_total", reloads, "result", "refused", func(s mtls.Stats) uint64 { return s.ReloadsRefused })
	for reason := range store.Stats().Refused {
		counter("gannet_gateway_tls_refused_total", "Connections that were not let in, by reason.", "reason", reason.String(),
			func(s mtls.Stats) uint64 { return s.Refused[reason] })
		counter("gannet_gateway_tls_closed_total", "Connections that were cut off because their certificate is no good any more, by reason.", "reason", reason.String(),
			func(s mtls.Stats) uint64 { return s.Closed[reason] })
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gannet_gateway_tls_not_after_timestamp_seconds", Help: "When the certificate in use ends.",
	}, func() float64 { return float64(store.Stats().NotAfter.Unix()) }))
}

// observe counts a request that was answered.
func (m *metrics) observe(route, method string, status int, took time.Duration) {
	method = methodLabel(method)
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route, method).Observe(took.Seconds())
}

// methodLabel keeps methods that somebody made up out of the labels.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodPost,
		http.MethodPatch, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}

// countRead counts a key that was asked for.
func (m *metrics) countRead(err error) {
	result := "error"
	switch {
	case err == nil:
		result = "hit"
	case errors.Is(err, client.ErrMiss):
		result = "miss"
	}
	m.reads.WithLabelValues(result).Inc()
}

// adminPort serves the metrics, away from those who may only use the cache.
type adminPort struct {
	listener net.Listener
	server   *http.Server
}

func openAdmin(addr string, m *metrics, log *slog.Logger) (*adminPort, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin port (choose another with --admin, port 0 for any free one): %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return &adminPort{listener: listener, server: newServer(mux, log)}, nil
}

func (a *adminPort) serve() error {
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin port: %w", err)
	}
	return nil
}

func (a *adminPort) close() {
	_ = a.server.Close()   // a scrape is cut off
	_ = a.listener.Close() // already closed if it ever served
}
