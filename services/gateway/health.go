package gateway

import (
	"context"
	"maps"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/ragbus/ragbus/pkg/lifecycle"
)

// How long answers about health are shared, so that probes cannot become a load.
// That a server is not ready is told for a moment only: it is about to be,
// and whoever waits for its start should not wait longer than that.
const (
	readyShared    = time.Second
	notReadyShared = 20 * time.Millisecond
	healthShared   = 5 * time.Second
)

// healthReport is the answer of GET /health.
type healthReport struct {
	Status    string    `json:"status"`
	Timestamp time.Time `json:"timestamp"`
	// Services is empty for strangers, who are not told what the system is made of.
	Services map[string]string `json:"services"`
	// Notes are what else is to be known about a part that works.
	Notes map[string]string `json:"notes,omitempty"`
}

// readiness is the answer of GET /readyz.
type readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
}

// Version says what runs. Empty fields are filled from the build.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	BuiltAt string `json:"built_at"`
	Go      string `json:"go"`
}

func (r *request) livez() error {
	r.quiet = true
	return r.raw(http.StatusOK, []byte(`{"status":"alive"}`))
}

func (r *request) readyz() error {
	r.quiet = true
	if r.s.stopping() {
		return r.json(http.StatusServiceUnavailable, readiness{Status: "stopping", Checks: map[string]string{}})
	}
	checks := r.s.ready.get(func() map[string]string { return lifecycle.Probe(r.ctx, r.s.checks()) })
	well := allWell(checks)
	if !r.isKnown() {
		checks = map[string]string{}
	}
	if !well {
		return r.json(http.StatusServiceUnavailable, readiness{Status: "not_ready", Checks: checks})
	}
	return r.json(http.StatusOK, readiness{Status: "ready", Checks: checks})
}

func allWell(checks map[string]string) bool {
	for _, result := range checks {
		if result != lifecycle.Healthy {
			return false
		}
	}
	return true
}

func keepReadiness(checks map[string]string) time.Duration {
	if allWell(checks) {
		return readyShared
	}
	return notReadyShared
}

func keepHealth(healthReport) time.Duration { return healthShared }

// checks are what this process needs to do its job.
func (s *Service) checks() []lifecycle.Check {
	own := []lifecycle.Check{
		{Name: "broker", Probe: s.deps.Broker.Ready},
		{Name: "database", Probe: func(ctx context.Context) error {
			if err := s.deps.Catalog.Ready(ctx); err != nil {
				return err
			}
			return s.deps.Conversations.Ready(ctx)
		}},
		{Name: "blob_store", Probe: s.deps.Blobs.Ready},
	}
	return append(own, s.deps.Checks...)
}

func (r *request) health() error {
	r.quiet = true
	report := r.s.healthy.get(func() healthReport { return r.s.gatherHealth(r.ctx) })
	status := http.StatusOK
	if report.Status != lifecycle.Healthy {
		status = http.StatusServiceUnavailable
	}
	if !r.isKnown() {
		report.Services, report.Notes = map[string]string{}, nil
	}
	return r.json(status, report)
}

// gatherHealth asks this process and every other at the same time. A part
// that several use is as unhealthy as its worst report; a worker service that
// does not answer is unhealthy itself.
func (s *Service) gatherHealth(ctx context.Context) healthReport {
	ctx, cancel := context.WithTimeout(ctx, lifecycle.ProbeTimeout)
	defer cancel()
	services := map[string]string{}
	var reports []lifecycle.Report
	var wg sync.WaitGroup
	var gatherErr error
	wg.Go(func() { reports, gatherErr = lifecycle.Gather(ctx, s.nats, workers()...) })
	own := lifecycle.Probe(ctx, s.checks())
	wg.Wait()
	maps.Copy(services, own)
	notes := lifecycle.Notes(s.checks())
	silent := "unhealthy: it does not answer"
	if gatherErr != nil {
		silent = "unhealthy: the message broker cannot be reached"
	}
	for _, name := range workers() {
		services[name] = silent
	}
	for _, report := range reports {
		services[report.Service] = lifecycle.Healthy
		maps.Copy(notes, report.Notes)
	}
	// What only a silent service could tell about is unknown, which is not healthy.
	for part, teller := range map[string]string{"vector_store": "retriever", "embedder": "retriever", "llm": "generator"} {
		if services[teller] != lifecycle.Healthy {
			services[part] = "unhealthy: the " + teller + ", " + untold
		}
	}
	for _, report := range reports {
		for part, result := range report.Checks {
			if known, ok := services[part]; !ok || known == lifecycle.Healthy || strings.HasSuffix(known, untold) {
				services[part] = result
			}
		}
	}
	return healthReport{Status: overall(services), Timestamp: time.Now().UTC(), Services: services, Notes: notes}
}

// workers are the services that must answer for Ragbus to be healthy.
func workers() []string { return []string{"retriever", "generator", "ingestor"} }

// overall is unhealthy when something is without which nothing works, and
// degraded when something else is.
func overall(services map[string]string) string {
	status := lifecycle.Healthy
	for part, result := range services {
		if result == lifecycle.Healthy {
			continue
		}
		switch part {
		case "broker", "database", "blob_store":
			return "unhealthy"
		}
		status = "degraded"
	}
	return status
}

func (r *request) version() error { return r.json(http.StatusOK, r.s.deps.Version.filled()) }

func (v Version) filled() Version {
	v.Go = runtime.Version()
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision" && v.Commit == "":
				v.Commit = setting.Value
			case setting.Key == "vcs.time" && v.BuiltAt == "":
				v.BuiltAt = setting.Value
			}
		}
		if v.Version == "" {
			v.Version = strings.Trim(info.Main.Version, "()")
		}
	}
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}

// shared remembers one value for a while; those who ask meanwhile share the asking.
type shared[T any] struct {
	// keep says for how long a value is shared.
	keep func(T) time.Duration

	mu    sync.Mutex
	value T
	until time.Time
}

func (s *shared[T]) get(fresh func() T) T {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().After(s.until) {
		s.value = fresh()
		s.until = time.Now().Add(s.keep(s.value))
	}
	return s.value
}
