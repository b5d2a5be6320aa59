package embeddedvector_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

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

func TestAnotherSpaceIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := open(t, dir, 8).Close(); err != nil {
		t.Fatal(err)
	}
	good := embeddedvector.Config{Path: filepath.Join(dir, "index.db"), Dimensions: 8, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler)}
	for name, change := range map[string]func(*embeddedvector.Config){
		"dimensions":  func(c *embeddedvector.Config) { c.Dimensions = 16 },
		"profile key": func(c *embeddedvector.Config) { c.ProfileKey = "other-model-8" },
	} {
		cfg := good
		change(&cfg)
		_, err := embeddedvector.Open(t.Context(), cfg)
		if code, message := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "index_profile_mismatch" || !strings.Contains(message, "index the documents again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(t, dir, 8).Close(); err != nil {
		t.Errorf("the right space afterwards: %v", err)
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	t.Parallel()
	_, err := embeddedvector.Open(t.Context(), embeddedvector.Config{})
	for _, problem := range []string{"path", "dimensions", "profile", "logger"} {
		if err == nil || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v does not name %s", err, problem)
		}
	}
	_, err = embeddedvector.Open(t.Context(), embeddedvector.Config{
		Path: filepath.Join(t.TempDir(), "absent", "index.db"), Dimensions: 8, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		t.Error("a directory that does not exist was accepted")
	}
	garbage := filepath.Join(t.TempDir(), "index.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = embeddedvector.Open(t.Context(), embeddedvector.Config{Path: garbage, Dimensions: 8, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Error("a file that is no database was accepted")
	}
}

func TestPathsMayHoldAnyCharacter(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b?c#d%20é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, 8).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "index.db")); err != nil {
		t.Error(err)
	}
}

func TestAClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), vectortest.Dimensions)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	scope, err := corpus.NewScope("t")
	if err != nil {
		t.Fatal(err)
	}
	doc := vector.Document{Tenant: "t", Collection: "c", ID: "a", Version: "v", Generation: 1}
	_, searchErr := s.Search(t.Context(), vector.Query{Scope: scope, Mode: vector.Keyword, Text: "x", Limit: 1})
	_, countErr := s.Count(t.Context(), "t", "a", "v")
	for what, err := range map[string]error{
		"upsert": s.Upsert(t.Context(), doc, nil), "activate": s.Activate(t.Context(), doc), "search": searchErr, "count": countErr, "ready": s.Ready(t.Context()),
	} {
		if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "index_closed" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Collections are deep inside one file: many tenants and documents load into
// the same state, whichever worker read them.
func TestManyDocumentsLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, vectortest.Dimensions)
	for n := range 700 {
		doc := vector.Document{
			Tenant: fmt.Sprintf("t%d", n%3), Collection: fmt.Sprintf("c%d", n%5), ID: fmt.Sprintf("d%d", n), Version: "v1", Generation: 1,
		}
		text := fmt.Sprintf("common word%d", n)
		if err := s.Upsert(t.Context(), doc, []vector.Point{{Text: text, Dense: vectortest.Vector(text)}}); err != nil {
			t.Fatal(err)
		}
		if n%7 == 0 {
			continue // stays dark
		}
		if err := s.Activate(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	find := func(s *embeddedvector.Store) [][]vector.Hit {
		var out [][]vector.Hit
		for n := range 3 {
			scope, err := corpus.NewScope(fmt.Sprintf("t%d", n))
			if err != nil {
				t.Fatal(err)
			}
			for _, collections := range [][]string{nil, {"c1", "c4"}} {
				hits, err := s.Search(t.Context(), vector.Query{
					Scope: scope, Collections: collections, Mode: vector.Hybrid, Text: "common word11", Dense: vectortest.Vector("common word13"), Limit: 200, Fusion: vectortest.Fusion(),
				})
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, hits)
			}
		}
		return out
	}
	before := find(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, vectortest.Dimensions)
	if diff := cmp.Diff(before, find(s)); diff != "" {
		t.Error(diff)
	}
	if got := s.Stats(); got.Chunks != 600 {
		t.Errorf("%+v, want 600 chunks", got)
	}
}

func TestClosingWhileLoading(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, vectortest.Dimensions)
	for n := range 50 {
		doc := vector.Document{Tenant: "t", Collection: "c", ID: fmt.Sprintf("d%d", n), Version: "v", Generation: 1}
		if err := s.Upsert(t.Context(), doc, []vector.Point{{Text: "fox", Dense: vectortest.Vector("fox")}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Activate(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s, err := embeddedvector.Open(t.Context(), embeddedvector.Config{
			Path: filepath.Join(dir, "index.db"), Dimensions: vectortest.Dimensions, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := open(t, dir, vectortest.Dimensions).Stats().Chunks; got != 50 {
		t.Errorf("%d chunks afterwards, want 50", got)
	}
}
