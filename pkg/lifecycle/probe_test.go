package lifecycle_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lifecycle"
)

func probes(t *testing.T, checks ...lifecycle.Check) *lifecycle.ProbeServer {
	t.Helper()
	registry := prometheus.NewRegistry()
	made := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	registry.MustRegister(made)
	s, err := lifecycle.ListenProbes(t.Context(), "127.0.0.1:0", lifecycle.Probes{
		Checks: checks, Metrics: registry, Service: "worker", Version: "v1", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return s
}

func get(t *testing.T, s *lifecycle.ProbeServer, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

func TestAProcessIsReadyWhenAllItsPartsAre(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	s := probes(t,
		lifecycle.Check{Name: "database", Probe: func(context.Context) error {
			if broken.Load() {
				return fault.Transientf("database_unavailable", "the database cannot be reached").WithCause(errors.New("secret host"))
			}
			return nil
		}},
		lifecycle.Check{Name: "broker", Probe: func(context.Context) error { return nil }})
	for _, step := range []struct {
		broken   bool
		status   int
		database string
	}{
		{false, http.StatusOK, lifecycle.Healthy},
		{true, http.StatusServiceUnavailable, "unhealthy: the database cannot be reached"},
		{false, http.StatusOK, lifecycle.Healthy},
	} {
		broken.Store(step.broken)
		status, body := get(t, s, "/readyz")
		var report lifecycle.Report
		if err := json.Unmarshal([]byte(body), &report); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if status != step.status || report.Service != "worker" || report.Checks["database"] != step.database || report.Checks["broker"] != lifecycle.Healthy {
			t.Errorf("broken %t: %d %+v", step.broken, status, report)
		}
		if status, _ := get(t, s, "/livez"); status != http.StatusOK {
			t.Errorf("broken %t: a process whose parts are away is told to be dead: %d", step.broken, status)
		}
	}
}

func TestMetricsAndVersionAreTold(t *testing.T) {
	t.Parallel()
	s := probes(t)
	if status, body := get(t, s, "/metrics"); status != http.StatusOK || !strings.Contains(body, "things_total 0") {
		t.Errorf("metrics: %d %q", status, body)
	}
	if status, body := get(t, s, "/version"); status != http.StatusOK || !strings.Contains(body, `"version":"v1"`) {
		t.Errorf("version: %d %q", status, body)
	}
	if status, _ := get(t, s, "/elsewhere"); status != http.StatusNotFound {
		t.Errorf("an unknown path: %d", status)
	}
}

func TestAnAddressInUseIsAnInvalidSetting(t *testing.T) {
	t.Parallel()
	s := probes(t)
	_, err := lifecycle.ListenProbes(t.Context(), s.Addr(), lifecycle.Probes{Log: slog.New(slog.DiscardHandler)})
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), s.Addr()) {
		t.Errorf("got %v", err)
	}
}
