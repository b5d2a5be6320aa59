package qdrantvector_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

func embedded(t *testing.T) *embeddedvector.Store {
	t.Helper()
	s, err := embeddedvector.Open(t.Context(), embeddedvector.Config{
		Path: filepath.Join(t.TempDir(), "index.db"), Dimensions: vectortest.Dimensions, ProfileKey: "test", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Ready(t.Context()) != nil {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("the embedded store does not become ready")
		}
	}
	return s
}

func TestBothStoresRankAlike(t *testing.T) {
	t.Parallel()
	cfg := config(qdranttest.Start(t, qdranttest.Options{}))
	cfg.Grace = time.Millisecond
	vectortest.Agree(t, embedded(t), open(t, cfg))
}

// TestBothStoresRankPublicSetsAlike asks the questions of the sets that the
// project carries, whose passages are in several languages.
func TestBothStoresRankPublicSetsAlike(t *testing.T) {
	t.Parallel()
	sets, err := filepath.Glob("../testdata/eval/*.corpus.jsonl.gz")
	if err != nil || len(sets) == 0 {
		t.Fatalf("no sets: %v", err)
	}
	for _, set := range sets {
		name := strings.TrimSuffix(filepath.Base(set), ".corpus.jsonl.gz")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, q := embedded(t), open(t, config(qdranttest.Start(t, qdranttest.Options{})))
			var texts []string
			for _, p := range lines[struct{ Title, Text string }](t, set) {
				texts = append(texts, strings.TrimSpace(p.Title+" "+p.Text))
			}
			const chunks = 64
			for i, some := range slices.Collect(slices.Chunk(texts, chunks)) {
				doc := vector.Document{Tenant: "t", Collection: "c", ID: fmt.Sprintf("d%04d", i), Version: "v", Generation: 1}
				points := make([]vector.Point, len(some))
				for j, text := range some {
					points[j] = vector.Point{Ordinal: j, Text: text, Dense: vectortest.Vector(text)}
				}
				for _, s := range []vector.Store{e, q} {
					if err := s.Upsert(t.Context(), doc, points); err != nil {
						t.Fatal(err)
					}
					if err := s.Activate(t.Context(), doc); err != nil {
						t.Fatal(err)
					}
				}
			}
			var questions []string
			for _, question := range lines[struct{ Question string }](t, strings.Replace(set, ".corpus.", ".queries.dev.", 1)) {
				questions = append(questions, question.Question)
			}
			vectortest.AgreeOn(t, e, q, "t", questions[:min(12, len(questions))], vectortest.Vector)
		})
	}
}

func lines[T any](t *testing.T, path string) []T {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(z)
	scanner.Buffer(nil, 1<<24)
	var out []T
	for scanner.Scan() {
		var v T
		if err := json.Unmarshal(scanner.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
