package embeddedvector

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

func TestNothingIsAnsweredWhileLoading(t *testing.T) {
	t.Parallel()
	s := &Store{cfg: Config{Dimensions: 4}, loaded: make(chan struct{})}
	s.expected.Store(20)
	s.progress.Store(7)
	scope, err := corpus.NewScope("t")
	if err != nil {
		t.Fatal(err)
	}
	_, searchErr := s.Search(t.Context(), vector.Query{Scope: scope, Mode: vector.Keyword, Text: "x", Limit: 1})
	for what, err := range map[string]error{"ready": s.Ready(t.Context()), "search": searchErr} {
		code, message := fault.Public(err)
		if !fault.Is(err, fault.Transient) || code != "index_loading" || !strings.Contains(message, "7 of 20") {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Delete(ctx, "t", "a", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a write while loading: %v, want it to wait for its context", err)
	}
	s.failure = errCorrupt
	close(s.loaded)
	if err := s.Ready(t.Context()); !errors.Is(err, errCorrupt) {
		t.Errorf("ready after a failed load: %v", err)
	}
}

func TestALargeIndexWarnsOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	large := newTenant()
	large.view.Store(&view{"c": {chunks: manyChunks + 1}})
	s := &Store{log: slog.New(slog.NewTextHandler(&log, nil)), tenants: map[string]*tenant{"t": large}}
	s.warnWhenLarge(t.Context())
	s.warnWhenLarge(t.Context())
	if n := strings.Count(log.String(), "Qdrant"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}
