package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
)

// Shape is a way to run Ragbus.
type Shape interface {
	// URLs are the gateways', at least one. They serve the same data.
	URLs() []string
	// Inbox is the folder that events may point into.
	Inbox() string
	// Restart stops everything politely and starts it again on the same
	// data. URLs may be others afterwards.
	Restart(t *testing.T)
}

// inProcess is everything in this process.
type inProcess struct {
	vars  config.Vars
	parts server.Parts
	inbox string
	log   *tail

	url  string
	stop func(testing.TB)
}

// start runs a server over an empty data directory until the test ends.
func start(t *testing.T, parts server.Parts, vars ...string) *inProcess {
	t.Helper()
	inbox := filepath.Join(t.TempDir(), "inbox")
	must(t, os.Mkdir(inbox, 0o700))
	s := &inProcess{parts: parts, inbox: inbox, log: &tail{}, vars: config.Vars{
		"RAGBUS_DATA_DIR": filepath.Join(t.TempDir(), "data"), "RAGBUS_HTTP_ADDR": "127.0.0.1:0", "RAGBUS_LOG_LEVEL": "warn", "RAGBUS_LOG_FORMAT": "text",
		// A stop outlives the pulls for work that are open.
		"RAGBUS_PULL_WAIT": "200ms", "RAGBUS_DATAREF_PREFIXES": "file://" + inbox,
	}}
	for i := 0; i+1 < len(vars); i += 2 {
		s.vars[vars[i]] = vars[i+1]
	}
	s.open(t)
	t.Cleanup(func() {
		s.stop(t)
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", s.log)
		}
	})
	return s
}

func (s *inProcess) open(t testing.TB) {
	t.Helper()
	cfg, err := config.Load[server.Config](s.vars)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	srv, err := server.Open(ctx, cfg, s.parts, "v0.0.0-e2e", s.log, true)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	s.url = srv.URL()
	s.stop = func(t testing.TB) {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with: %v", err)
		}
		if err := srv.Close(ctx); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	}
	c, err := client.New(s.url)
	must(t, err)
	defer c.Close()
	if err := server.Ready(context.Background(), c); err != nil {
		s.stop(t)
		t.Fatal(err)
	}
}

func (s *inProcess) URLs() []string { return []string{s.url} }
func (s *inProcess) Inbox() string  { return s.inbox }

func (s *inProcess) Restart(t *testing.T) {
	t.Helper()
	s.stop(t)
	s.open(t)
}

// scripted returns a cheap embedder.
func scripted(t testing.TB) *scriptembed.Embedder {
	t.Helper()
	e, err := scriptembed.New(scriptembed.Config{})
	must(t, err)
	return e
}

// tail keeps the end of what a program printed.
type tail = stack.Tail
