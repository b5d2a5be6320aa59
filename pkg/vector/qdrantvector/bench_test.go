package qdrantvector_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
)

const benchDimensions = 1536

// BenchmarkHybrid is a hybrid search in 1,000 chunks of 20 documents, alone and
// with others at the same time, with the stand-in in the same process: cpu-µs is what both have used, and the garbage collector.
func BenchmarkHybrid(b *testing.B) {
	cfg := config(qdranttest.Start(b, qdranttest.Options{}))
	cfg.Dimensions, cfg.Connections = benchDimensions, 0
	s := open(b, cfg)
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 3, 20_000)
	text := func(words int) string {
		var out strings.Builder
		for range words {
			fmt.Fprintf(&out, "word%d ", zipf.Uint64())
		}
		return out.String()
	}
	dense := func() []float32 {
		v := make([]float32, benchDimensions)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	for d := range 20 {
		doc := vector.Document{Tenant: "t", Collection: "c", ID: fmt.Sprint("document-of-some-length-", d), Version: "v1", Generation: 1}
		var points []vector.Point
		for n := range 50 {
			points = append(points, vector.Point{Ordinal: n, Text: text(150), Dense: dense()})
		}
		if err := s.Upsert(b.Context(), doc, points); err != nil {
			b.Fatal(err)
		}
		if err := s.Activate(b.Context(), doc); err != nil {
			b.Fatal(err)
		}
	}
	scope, err := corpus.NewScope("t")
	if err != nil {
		b.Fatal(err)
	}
	q := vector.Query{
		Scope: scope, Mode: vector.Hybrid, Dense: dense(), Limit: 14,
		Fusion: embed.Fusion{Method: embed.ScaledMax, DenseWeight: .5, ForeignDenseWeight: .6},
	}
	questions := make([]string, 4096)
	for i := range questions {
		questions[i] = text(12)
	}
	for _, searchers := range []int{1, 16} {
		b.Run(fmt.Sprint("searchers=", searchers), func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime(b)
			var next atomic.Int64
			var wait sync.WaitGroup
			for range searchers {
				wait.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						q := q
						q.Text = questions[int(i)%len(questions)]
						if hits, err := s.Search(b.Context(), q); err != nil || len(hits) != q.Limit {
							b.Errorf("%d hits, %v", len(hits), err)
						}
					}
				})
			}
			wait.Wait()
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
