package sqlcatalog_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
)

const benchTenant = "default"

// reportCPU adds the processor time of the whole process to a benchmark: on a
// busy machine the time on the wall says little.
func reportCPU(b *testing.B) {
	b.Helper()
	start := cpuTime(b)
	b.Cleanup(func() { b.ReportMetric(float64(cpuTime(b)-start)/float64(b.N)/1e3, "cpu-µs/op") })
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fill indexes documents of 40 chunks of about 1,000 characters, with vectors of 384 dimensions.
func fill(b *testing.B, s *sqlcatalog.Store, documents int) (refs []corpus.ChunkRef, hashes []string) {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := range documents {
		id := fmt.Sprintf("document-%06d", i)
		doc, _, err := s.Accept(b.Context(), catalog.Upload{
			Tenant: benchTenant, ID: id, Collection: "default", Title: "A document of the benchmark", Filename: "a.md", SHA256: catalog.TextHash(id), BlobKey: id,
			Source: "https://example.org/" + id, MediaType: "text/markdown", Metadata: map[string]any{"lang": "en", "year": 2024.0},
		})
		check(err)
		ref := catalog.Ref{Tenant: benchTenant, ID: id, Generation: doc.Generation}
		_, _, err = s.Begin(b.Context(), ref)
		check(err)
		chunks := make([]corpus.Chunk, 40)
		vectors := make(map[string][]float32, len(chunks))
		for o := range chunks {
			chunks[o] = corpus.Chunk{
				ChunkRef: corpus.ChunkRef{Tenant: benchTenant, Document: id, Version: doc.SHA256, Ordinal: o},
				Text:     strings.Repeat("A sentence of fifty characters is repeated here. ", 20), Section: "Chapter › Section", CharEnd: 1000,
			}
			refs = append(refs, chunks[o].ChunkRef)
			hash := catalog.TextHash(fmt.Sprint(id, o))
			hashes = append(hashes, hash)
			vectors[hash] = make([]float32, 384)
		}
		check(s.PutChunks(b.Context(), ref, chunks))
		_, _, err = s.Extracted(b.Context(), ref, catalog.Extraction{Chunks: len(chunks)})
		check(err)
		check(s.PutVectors(b.Context(), ref, "p", vectors))
		_, err = s.FinishBatch(b.Context(), ref, 0)
		check(err)
		_, err = s.GoLive(b.Context(), ref)
		check(err)
	}
	return refs, hashes
}

// BenchmarkFind looks up chunks spread over a library of 1,000 chunks, all of
// which are remembered after a while, and over one of 40,000, most of which are not.
func BenchmarkFind(b *testing.B) { benchmarkFind(b, open, 25, 1000) }

func BenchmarkFindOnPostgres(b *testing.B) { benchmarkFind(b, openPostgres, 25, 250) }

func openPostgres(tb testing.TB) *sqlcatalog.Store {
	tb.Helper()
	return openURL(tb, postgres.Database(tb))
}

func benchmarkFind(b *testing.B, open func(testing.TB) *sqlcatalog.Store, libraries ...int) {
	b.Helper()
	for _, documents := range libraries {
		s := open(b)
		refs, _ := fill(b, s, documents)
		scope, err := corpus.NewScope(benchTenant)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct{ chunks, documents int }{{8, 6}, {30, 10}, {30, 25}} {
			b.Run(fmt.Sprintf("library=%d/chunks=%d/documents=%d", len(refs), c.chunks, c.documents), func(b *testing.B) {
				b.ReportAllocs()
				asked := make([]corpus.ChunkRef, c.chunks)
				find := func(n int) {
					for i := range asked {
						document := (n*7 + (i%c.documents)*3) % documents
						asked[i] = refs[document*40+(n/documents+i)%40]
					}
					found, err := s.Find(b.Context(), scope, asked)
					if err != nil || len(found) != c.chunks {
						b.Fatalf("found %d, %v", len(found), err)
					}
				}
				for n := range 1000 {
					find(n)
				}
				reportCPU(b)
				b.ResetTimer()
				for n := 0; b.Loop(); n++ {
					find(n)
				}
			})
		}
	}
}

func BenchmarkVectors(b *testing.B) {
	s := open(b)
	_, hashes := fill(b, s, 250)
	b.ReportAllocs()
	reportCPU(b)
	for n := 0; b.Loop(); n++ {
		from := (n * 64) % (len(hashes) - 64)
		got, err := s.Vectors(b.Context(), benchTenant, "p", hashes[from:from+64])
		if err != nil || len(got) != 64 {
			b.Fatalf("got %d, %v", len(got), err)
		}
	}
}

// BenchmarkIngest is everything the catalog does for a document of 40 chunks.
func BenchmarkIngest(b *testing.B) { benchmarkIngest(b, open) }

func BenchmarkIngestOnPostgres(b *testing.B) { benchmarkIngest(b, openPostgres) }

func benchmarkIngest(b *testing.B, open func(testing.TB) *sqlcatalog.Store) {
	b.Helper()
	s := open(b)
	b.ReportAllocs()
	reportCPU(b)
	b.ResetTimer()
	fill(b, s, b.N)
}
