package embeddedvector_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
)

// synthetic makes a corpus that is the same in every run: chunks of about
// 130 words out of a vocabulary that follows Zipf's law and begins with
// English function words, and vectors around two hundred centres.
type synthetic struct {
	rng     *rand.Rand
	zipf    *rand.Zipf
	words   []string
	centres [][]float32
}

const (
	benchDimensions = 384
	vocabulary      = 100_000
	functionWords   = "the of and in to a is was for that on as with by it from at are be this an which or has were not have their been who its more had when they also one can other but all between"
)

func newSynthetic() *synthetic {
	rng := rand.New(rand.NewPCG(1, 2))
	s := &synthetic{rng: rng, zipf: rand.NewZipf(rng, 1.1, 3, vocabulary-1), words: strings.Fields(functionWords)}
	for i := len(s.words); i < vocabulary; i++ {
		s.words = append(s.words, pseudoWord(i))
	}
	for range 200 {
		s.centres = append(s.centres, s.noise(nil, 1))
	}
	return s
}

func pseudoWord(n int) string {
	var b strings.Builder
	for n > 0 {
		b.WriteByte("bdfgklmnprstvz"[n%14])
		b.WriteByte("aeiou"[n/14%5])
		n /= 70
	}
	return b.String() + "k"
}

func (s *synthetic) noise(centre []float32, scale float64) []float32 {
	v := make([]float32, benchDimensions)
	for i := range v {
		v[i] = float32(s.rng.NormFloat64() * scale)
		if centre != nil {
			v[i] += centre[i]
		}
	}
	return v
}

func (s *synthetic) vector() []float32 { return s.noise(s.centres[s.rng.IntN(len(s.centres))], 0.7) }

func (s *synthetic) text(words int) string {
	var b strings.Builder
	for range words {
		b.WriteString(s.words[s.zipf.Uint64()])
		b.WriteByte(' ')
	}
	return b.String()
}

// question has sixteen words, about half of them function words.
func (s *synthetic) question() string {
	words := []string{"what", "is", "the"}
	for len(words) < 16 {
		if len(words)%3 == 0 {
			words = append(words, s.words[s.rng.IntN(20)])
			continue
		}
		n := s.zipf.Uint64()
		for n < 41 {
			n = s.zipf.Uint64()
		}
		words = append(words, s.words[n])
	}
	return strings.Join(words, " ")
}

func (s *synthetic) points(n int) []vector.Point {
	out := make([]vector.Point, n)
	for i := range out {
		out[i] = vector.Point{Ordinal: i, Text: s.text(100 + s.rng.IntN(60)), Dense: s.vector()}
	}
	return out
}

func benchDocument(n int) vector.Document {
	return vector.Document{Tenant: "t", Collection: "c", ID: fmt.Sprintf("d%06d", n), Version: "v1", Generation: 1}
}

// fill writes documents of 20 chunks.
func (s *synthetic) fill(b *testing.B, store vector.Store, chunks int) {
	b.Helper()
	const size = 20
	for n := range chunks / size {
		s.write(b, store, benchDocument(n), s.points(size))
	}
}

func (s *synthetic) write(b *testing.B, store vector.Store, doc vector.Document, points []vector.Point) {
	b.Helper()
	for batch := range slices.Chunk(points, 64) {
		if err := store.Upsert(b.Context(), doc, batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.Activate(b.Context(), doc); err != nil {
		b.Fatal(err)
	}
}

// latencies reports the median and the 99th percentile.
func latencies(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1e3, "max-ms")
}

func (s *synthetic) query(b *testing.B, mode vector.Mode) vector.Query {
	b.Helper()
	scope, err := corpus.NewScope("t", "someone")
	if err != nil {
		b.Fatal(err)
	}
	return vector.Query{Scope: scope, Mode: mode, Text: s.question(), Dense: s.vector(), Limit: 8, Fusion: fusion()}
}

func BenchmarkIndex(b *testing.B) {
	for _, size := range []int{1_000, 10_000, 100_000} {
		if testing.Short() && size > 10_000 {
			continue
		}
		b.Run(fmt.Sprintf("chunks=%d", size), func(b *testing.B) {
			dir := b.TempDir()
			corpus := newSynthetic()
			before := heap()
			store := open(b, dir, benchDimensions)
			corpus.fill(b, store, size)
			b.Run("memory", func(b *testing.B) {
				stats := store.Stats()
				for b.Loop() {
					runtime.KeepAlive(store)
				}
				b.ReportMetric(float64(heap()-before)/float64(size), "heap-bytes/chunk")
				b.ReportMetric(float64(stats.Bytes)/float64(stats.Chunks), "bytes/chunk")
				b.ReportMetric(float64(stats.Segments), "segments")
			})
			for _, mode := range []vector.Mode{vector.Keyword, vector.Dense, vector.Hybrid} {
				b.Run(string(mode), func(b *testing.B) { benchSearch(b, corpus, store, mode) })
			}
			b.Run("hybrid-filtered", func(b *testing.B) { benchFiltered(b, corpus, store) })
			b.Run("hybrid-while-5000-chunks-go-live", func(b *testing.B) { benchWhileActivating(b, corpus, store) })
			if err := store.Close(); err != nil {
				b.Fatal(err)
			}
			b.Run("load", func(b *testing.B) {
				for b.Loop() {
					s := open(b, dir, benchDimensions)
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func benchSearch(b *testing.B, corpus *synthetic, store vector.Store, mode vector.Mode) {
	queries := make([]vector.Query, 64)
	for i := range queries {
		queries[i] = corpus.query(b, mode)
	}
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		hits, err := store.Search(b.Context(), queries[len(took)%len(queries)])
		if err != nil || len(hits) != 8 {
			b.Fatal(len(hits), err)
		}
		took = append(took, time.Since(start))
	}
	latencies(b, took)
}

func benchFiltered(b *testing.B, s *synthetic, store vector.Store) {
	q := s.query(b, vector.Hybrid)
	q.Filter = corpus.Filter{{Key: "absent", AnyOf: []any{"x"}}}
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if hits, err := store.Search(b.Context(), q); err != nil || len(hits) != 0 {
			b.Fatal(len(hits), err)
		}
		took = append(took, time.Since(start))
	}
	latencies(b, took)
}

func benchWhileActivating(b *testing.B, corpus *synthetic, store *embeddedvector.Store) {
	big := benchDocument(999_999)
	corpus.write(b, store, big, corpus.points(5000))
	done := make(chan struct{})
	var writer sync.WaitGroup
	activations := 0
	writer.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			big.Generation++
			if err := store.Activate(b.Context(), big); err != nil {
				b.Error(err)
				return
			}
			activations++
		}
	})
	benchSearch(b, corpus, store, vector.Hybrid)
	close(done)
	writer.Wait()
	b.ReportMetric(float64(activations), "activations")
}

// BenchmarkUpsert measures writes of 64 chunks by several writers at a time.
func BenchmarkUpsert(b *testing.B) {
	for _, writers := range []int{1, 4} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			store := open(b, b.TempDir(), benchDimensions)
			points := newSynthetic().points(64)
			var wait sync.WaitGroup
			rounds := 0
			for b.Loop() {
				rounds++
				for w := range writers {
					wait.Go(func() {
						if err := store.Upsert(b.Context(), benchDocument(rounds*writers+w), points); err != nil {
							b.Error(err)
						}
					})
				}
				wait.Wait()
			}
			b.ReportMetric(float64(rounds*writers*len(points))/b.Elapsed().Seconds(), "chunks/s")
		})
	}
}
