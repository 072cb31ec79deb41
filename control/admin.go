package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyLongest bounds the work behind /readyz.
const readyLongest = time.Second

// admin is the HTTP port for operators and their monitoring.
type admin struct {
	control  *Control
	log      *slog.Logger
	listener net.Listener
	server   http.Server
}

func newAdmin(c *Control, log *slog.Logger) (*admin, error) {
	listener, err := net.Listen("tcp", c.cfg.Admin.String())
	if err != nil {
		return nil, fmt.Errorf("admin port (choose another with --admin, port 0 for any free one): %w", err)
	}
	a := &admin{control: c, log: log, listener: listener}
	a.server = http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a, nil
}

func (a *admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.control.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", a.health)
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /{$}", a.status)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func (a *admin) run() error {
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin port: %w", err)
	}
	return nil
}

func (a *admin) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close() // a profile that still runs is cut off
	}
	_ = a.listener.Close() // already closed if it ever served
}

// health says that this process turns its loop, whatever the data plane does.
func (a *admin) health(w http.ResponseWriter, _ *http.Request) {
	late := BootNanos() - a.control.lastTick.Load()
	if late > int64(time.Second) {
		answer(w, http.StatusServiceUnavailable, map[string]any{"healthy": false, "reason": fmt.Sprintf("no tick for %d ms", late/1e6)})
		return
	}
	answer(w, http.StatusOK, map[string]any{"healthy": true})
}

func (a *admin) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyLongest)
	defer cancel()
	readiness := a.control.Readiness(ctx)
	code := http.StatusOK
	if !readiness.Ready {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, readiness)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the asker has gone: nobody to tell
}

// newRegistry has the node's own metrics and those of this process.
func newRegistry(c *Control) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		&collector{link: c.link, nanos: BootNanos},
		&clusterCollector{cluster: c.cluster, nanos: BootNanos},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gannet_build_info", Help: "Version of the control process; always 1.",
			ConstLabels: prometheus.Labels{"version": c.version},
		}, func() float64 { return 1 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "gannet_etcd_connected", Help: "1 while etcd answers this node.",
		}, func() float64 { return boolGauge(c.etcdConnected()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gannet_dataplane_restarts_total", Help: "Times the supervisor started the data plane again.",
		}, func() float64 { return float64(c.restarts()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gannet_dead_man_answers_total", Help: "Requests answered UNAVAILABLE for a silent data plane.",
		}, func() float64 { return float64(c.deadMan.Answered()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "gannet_dead_man_ignored_total", Help: "Datagrams on the dead man's sockets that were no valid requests.",
		}, func() float64 { return float64(c.deadMan.Ignored()) }),
	)
	return registry
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
