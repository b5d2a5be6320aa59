package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Probes says what a server of probes tells.
type Probes struct {
	// Checks decide whether the process is ready.
	Checks  []Check
	Metrics prometheus.Gatherer
	// Service and Version are told on /version.
	Service, Version string
	// Log receives what goes wrong while serving.
	Log *slog.Logger
}

// ProbeServer answers /livez (the process runs: 200, always), /readyz (200
// when every check passes, else 503; the body is a [Report]), /metrics
// (Prometheus) and /version.
type ProbeServer struct {
	listener net.Listener
	server   *http.Server
}

// probeGrace bounds what is left of requests when the server stops.
const probeGrace = 2 * time.Second

// ListenProbes binds the address. Nothing is answered until Run.
func ListenProbes(ctx context.Context, addr string, p Probes) (*ProbeServer, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fault.Invalidf("address_unusable", "the address %s cannot be listened on", addr).WithCause(err)
	}
	return &ProbeServer{listener: l, server: &http.Server{
		Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(p.Log.Handler(), slog.LevelWarn),
	}}, nil
}

// Addr returns the address that was bound.
func (s *ProbeServer) Addr() string { return s.listener.Addr().String() }

// Run answers until ctx ends.
func (s *ProbeServer) Run(ctx context.Context) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeGrace)
		defer cancel()
		stopped <- s.server.Shutdown(grace)
	})
	defer stop()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer probes: %w", err)
	}
	if err := <-stopped; err != nil {
		return errors.Join(fmt.Errorf("stop answering probes: %w", err), s.server.Close())
	}
	return nil
}

func (p Probes) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		report := Report{Service: p.Service, Checks: Probe(r.Context(), p.Checks), Notes: Notes(p.Checks)}
		status := http.StatusOK
		for _, result := range report.Checks {
			if result != Healthy {
				status = http.StatusServiceUnavailable
			}
		}
		writeJSON(w, status, report)
	})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"service": p.Service, "version": p.Version})
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4}))
	return mux
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) //nolint:errchkjson // strings in a map; an error means that who asked has left
}

// Responding returns a part that answers [Gather] for its checks while it runs.
func Responding(nc *nats.Conn, p Part, checks ...Check) Part {
	return Part{Name: p.Name, Run: func(ctx context.Context) error {
		stop, err := Respond(ctx, nc, p.Name, checks)
		if err != nil {
			return err
		}
		return errors.Join(p.Run(ctx), stop())
	}}
}
