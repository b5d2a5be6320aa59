package embeddedvector_test

import (
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens the index in dir and waits until it is ready.
func open(tb testing.TB, dir string, dimensions int) *embeddedvector.Store {
	tb.Helper()
	s, err := embeddedvector.Open(tb.Context(), embeddedvector.Config{
		Path: filepath.Join(dir, "index.db"), Dimensions: dimensions, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	awaitReady(tb, s)
	return s
}

func awaitReady(tb testing.TB, s *embeddedvector.Store) {
	tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for s.Ready(tb.Context()) != nil {
		select {
		case <-tick.C:
		case <-deadline:
			tb.Fatalf("not ready: %v", s.Ready(tb.Context()))
		}
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	var dirs sync.Map
	vectortest.Run(t, func(t *testing.T) vector.Store {
		dir := t.TempDir()
		s := open(t, dir, vectortest.Dimensions)
		dirs.Store(s, dir)
		return s
	}, vectortest.Caps{
		ScopedIDF: true,
		Tolerance: 2e-5,
		Reopen: func(t *testing.T, s vector.Store) vector.Store {
			dir, ok := dirs.Load(s)
			e, same := s.(*embeddedvector.Store)
			if !ok || !same {
				t.Fatal("not a store of this test")
			}
			if err := e.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			d, _ := dir.(string)
			return open(t, d, vectortest.Dimensions)
		},
	})
}
