package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/process"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type settings struct {
	Process process.Config
	Probes  process.Probes
	Size    int    `env:"RAGBUS_SIZE"`
	Key     string `env:"SOME_KEY"`
}

func TestAllThatIsWrongWithTheSettingsIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	_, err := process.Settings[settings](config.Vars{
		"RAGBUS_SIZE": "many", "RAGBUS_TOPOLOGY_MODE": "perhaps", "RAGBUS_PROBE_ADDR": "9090", "RAGBUS_TYPO": "1", "HOME": "/root",
	})
	if !errors.Is(err, process.ErrSettings) {
		t.Fatalf("got %v", err)
	}
	for _, name := range []string{"RAGBUS_NATS_URL", "RAGBUS_SIZE", "RAGBUS_TOPOLOGY_MODE", "RAGBUS_PROBE_ADDR", "RAGBUS_TYPO"} {
		if strings.Count(err.Error(), name) != 1 {
			t.Errorf("%s is not named once in:\n%v", name, err)
		}
	}
}

func load(t *testing.T, vars config.Vars) process.Config {
	t.Helper()
	cfg, err := process.Settings[settings](vars)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Process
}

func TestAWorkerIsProbedWhileItRuns(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	p, err := process.Open(t.Context(), load(t, config.Vars{"RAGBUS_NATS_URL": b.URL()}), "indexer", "v1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	p.Host().OnProbe(lifecycle.Check{Name: "index", Probe: func(context.Context) error { return fault.Transientf("away", "the index is away") }})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- p.Work(ctx, process.Probes{Addr: "127.0.0.1:0"}, func(ctx context.Context) error {
			close(running)
			<-ctx.Done()
			return nil
		})
	}()
	<-running
	reports, err := lifecycle.Gather(t.Context(), b.Connect().NATS(), "indexer")
	if err != nil || len(reports) != 1 || reports[0].Checks["index"] != "unhealthy: the index is away" {
		t.Errorf("health over the broker: %+v, %v", reports, err)
	}
	status, report := ready(t, p.ProbeAddr())
	if status != http.StatusServiceUnavailable || report.Checks["broker"] != lifecycle.Healthy || report.Checks["index"] == lifecycle.Healthy {
		t.Errorf("readiness: %d %+v", status, report)
	}
	stop()
	if err := errors.Join(<-done, p.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

func ready(t *testing.T, addr string) (status int, r lifecycle.Report) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, r
}

func TestTheTopologyIsAppliedVerifiedOrTrusted(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	js := b.Connect().JetStream()
	if err := js.DeleteStream(t.Context(), broker.StreamChat); err != nil {
		t.Fatal(err)
	}
	open := func(mode string) error {
		p, err := process.Open(t.Context(), load(t, config.Vars{"RAGBUS_NATS_URL": b.URL(), "RAGBUS_TOPOLOGY_MODE": mode}), "x", "v1", io.Discard, false)
		if err != nil {
			return err
		}
		return p.Close(t.Context())
	}
	if err := open("verify"); err == nil || !strings.Contains(err.Error(), broker.StreamChat) {
		t.Errorf("verified without a stream: %v", err)
	}
	if err := open("trust"); err != nil {
		t.Errorf("trust: %v", err)
	}
	if err := open("apply"); err != nil {
		t.Errorf("apply: %v", err)
	}
	if err := open("verify"); err != nil {
		t.Errorf("verified after it was applied: %v", err)
	}
}

func TestAnUnreachableBrokerIsNamedByItsVariable(t *testing.T) {
	t.Parallel()
	cfg := load(t, config.Vars{"RAGBUS_NATS_URL": "nats://user:hunter2@127.0.0.1:1"})
	cfg.Broker.ConnectTimeout = 50_000_000
	_, err := process.Open(t.Context(), cfg, "x", "v1", io.Discard, false)
	if err == nil || !strings.Contains(err.Error(), "RAGBUS_NATS_URL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestExitCodesTellWhoHasToAct(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		code int
	}{
		"done":                    {nil, 0},
		"stopped":                 {context.Canceled, 0},
		"settings":                {process.ErrSettings, 2},
		"credentials":             {fault.Invalidf("denied", "RAGBUS_DATABASE_URL: refused"), 2},
		"something else":          {errors.New("lost"), 1},
		"away for the time being": {fault.Transientf("away", "away"), 1},
		"away at the start":       {fmt.Errorf("open: %w", backing.Unusable("RAGBUS_VECTOR_URL", fault.Transientf("away", "away\n\tfor now"))), 2},
	} {
		var said bytes.Buffer
		if code := process.Exit(c.err, &said); code != c.code || bytes.Count(said.Bytes(), []byte("\n")) != min(code, 1) {
			t.Errorf("%s: exit code %d, said %q", name, code, said.String())
		}
	}
}
