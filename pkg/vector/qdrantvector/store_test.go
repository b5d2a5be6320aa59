package qdrantvector_test

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(address string) qdrantvector.Config {
	return qdrantvector.Config{
		URL: "qdrant://" + address, Dimensions: vectortest.Dimensions, ProfileKey: "test-32", Logger: slog.New(slog.DiscardHandler),
		Connections: 1, Grace: 300 * time.Millisecond,
	}
}

func open(tb testing.TB, cfg qdrantvector.Config) *qdrantvector.Store {
	tb.Helper()
	s, err := qdrantvector.Open(tb.Context(), cfg)
	if err != nil {
		tb.Fatalf("open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.19.0", "1.18.3"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			vectortest.Run(t, func(t *testing.T) vector.Store {
				return open(t, config(qdranttest.Start(t, qdranttest.Options{Version: version})))
			}, vectortest.Caps{ScopedIDF: version == "1.19.0", SharedIDF: version != "1.19.0", Tolerance: 2e-6})
		})
	}
}
