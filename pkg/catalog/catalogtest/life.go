package catalogtest

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

func lifeCases() map[string]func(*testing.T, *fixture) {
	return map[string]func(*testing.T, *fixture){
		"a document goes from accepted to indexed": func(t *testing.T, f *fixture) {
			u := upload("d", "one")
			doc := f.accept(t, u, catalog.Created)
			r := ref(doc)
			begun, key, err := f.Begin(t.Context(), r)
			if err != nil || key != u.BlobKey {
				t.Fatalf("the bytes are %q, %v", key, err)
			}
			wantStatus(t, begun, corpus.Extracting, 1)
			const n = 2*catalog.BatchSize + 5
			chunks := chunksOf(doc, n)
			for _, part := range [][]corpus.Chunk{chunks[:7], chunks[7:100], chunks[100:]} {
				if err := f.PutChunks(t.Context(), r, part); err != nil {
					t.Fatal(err)
				}
			}
			embedding, open, err := f.Extracted(t.Context(), r, catalog.Extraction{Chunks: n})
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, embedding, corpus.Embedding, 1)
			wantEqual(t, "the batches", open, []catalog.Batch{{Number: 0, From: 0, To: 64}, {Number: 1, From: 64, To: 128}, {Number: 2, From: 128, To: 133}})
			if embedding.Chunks != n || embedding.MediaType != "text/plain" {
				t.Errorf("got %+v", embedding)
			}
			for i, b := range open {
				doc, got, err := f.Chunks(t.Context(), r, b)
				if err != nil {
					t.Fatal(err)
				}
				wantEqual(t, "the batch", got, chunks[b.From:b.To])
				if doc.ID != "d" {
					t.Error("the batch came without its document")
				}
				left, err := f.FinishBatch(t.Context(), r, b.Number)
				if err != nil || left != len(open)-1-i {
					t.Errorf("%d batches are open, %v", left, err)
				}
				if got := f.current(t, "d").Embedded; got != b.To {
					t.Errorf("%d chunks are embedded, want %d", got, b.To)
				}
			}
			live, err := f.GoLive(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, live, corpus.Indexed, 1)
			if live.LiveVersion != u.SHA256 || live.IndexedAt.IsZero() || live.IndexedAt.Before(live.CreatedAt) {
				t.Errorf("got %+v", live)
			}
			wantEqual(t, "the live chunks", f.live(t), chunks)
		},
		"every step can be repeated": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			r := ref(doc)
			x := catalog.Extraction{Chunks: 70}
			steps := []func() error{
				func() error { _, _, err := f.Begin(t.Context(), r); return err },
				func() error { return f.PutChunks(t.Context(), r, chunksOf(doc, 70)) },
				func() error {
					_, open, err := f.Extracted(t.Context(), r, x)
					if len(open) != 2 {
						t.Errorf("%d batches are open", len(open))
					}
					return err
				},
				func() error {
					_, _, err := f.Chunks(t.Context(), r, catalog.Batch{Number: 1, From: 64, To: 70})
					return err
				},
				func() error { return f.PutVectors(t.Context(), r, "p", map[string][]float32{"h": {1}}) },
				func() error {
					left, err := f.FinishBatch(t.Context(), r, 1)
					if left != 1 {
						t.Errorf("%d batches are open", left)
					}
					return err
				},
				func() error {
					open, err := f.OpenBatches(t.Context(), r)
					wantEqual(t, "the open batches", open, []catalog.Batch{{Number: 0, From: 0, To: 64}})
					return err
				},
				func() error { _, err := f.FinishBatch(t.Context(), r, 0); return err },
				func() error { _, err := f.GoLive(t.Context(), r); return err },
				func() error { return f.SweepVersions(t.Context(), r) },
				func() error {
					_, _, err := f.Chunks(t.Context(), r, catalog.Batch{Number: 1, From: 64, To: 70})
					return err
				},
				func() error {
					left, err := f.FinishBatch(t.Context(), r, 1)
					if left != 0 {
						t.Errorf("%d batches are open", left)
					}
					return err
				},
				func() error { _, err := f.GoLive(t.Context(), r); return err },
			}
			for i, step := range steps {
				for range 2 {
					if err := step(); err != nil {
						t.Fatalf("step %d: %v", i, err)
					}
				}
			}
			got := f.current(t, "d")
			wantStatus(t, got, corpus.Indexed, 1)
			if got.Embedded != 70 || len(f.live(t)) != 70 {
				t.Errorf("%d chunks are embedded", got.Embedded)
			}
		},
		"a repeated end of extraction gives the open batches": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			f.extract(t, doc, 130)
			if _, err := f.FinishBatch(t.Context(), ref(doc), 1); err != nil {
				t.Fatal(err)
			}
			got, open, err := f.Extracted(t.Context(), ref(doc), catalog.Extraction{Chunks: 1})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the batches", open, []catalog.Batch{{Number: 0, From: 0, To: 64}, {Number: 2, From: 128, To: 130}})
			if got.Chunks != 130 || got.Embedded != 64 {
				t.Errorf("%d of %d chunks are embedded", got.Embedded, got.Chunks)
			}
		},
		"chunks are replaced by ordinal and dropped beyond the last": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			if _, _, err := f.Begin(t.Context(), ref(doc)); err != nil {
				t.Fatal(err)
			}
			chunks := chunksOf(doc, 200)
			if err := f.PutChunks(t.Context(), ref(doc), chunks); err != nil {
				t.Fatal(err)
			}
			chunks[3].Text, chunks[3].Section, chunks[3].Page = "new", "", 9
			if err := f.PutChunks(t.Context(), ref(doc), chunks[3:4]); err != nil {
				t.Fatal(err)
			}
			f.finishWith(t, doc, 10)
			wantEqual(t, "the live chunks", f.live(t), chunks[:10])
		},
		"a document without chunks goes live": func(t *testing.T, f *fixture) {
			doc := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 0)
			wantStatus(t, doc, corpus.Indexed, 1)
		},
		"missing chunks do not count as extracted": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			if _, _, err := f.Begin(t.Context(), ref(doc)); err != nil {
				t.Fatal(err)
			}
			chunks := chunksOf(doc, 5)
			if err := f.PutChunks(t.Context(), ref(doc), append(chunks[:2:2], chunks[3:]...)); err != nil {
				t.Fatal(err)
			}
			_, _, err := f.Extracted(t.Context(), ref(doc), catalog.Extraction{Chunks: 5})
			wantFault(t, "a gap", err, fault.Permanent, "chunks_missing")
			wantStatus(t, f.current(t, "d"), corpus.Extracting, 1)
		},
		"chunks of another version or document are refused": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			if _, _, err := f.Begin(t.Context(), ref(doc)); err != nil {
				t.Fatal(err)
			}
			for name, spoil := range map[string]func(*corpus.Chunk){
				"version":  func(c *corpus.Chunk) { c.Version = catalog.TextHash("other") },
				"document": func(c *corpus.Chunk) { c.Document = "e" },
				"tenant":   func(c *corpus.Chunk) { c.Tenant = "other" },
				"ordinal":  func(c *corpus.Chunk) { c.Ordinal = -1 },
			} {
				chunks := chunksOf(doc, 2)
				spoil(&chunks[1])
				wantFault(t, name, f.PutChunks(t.Context(), ref(doc), chunks), fault.Permanent, "chunk_mismatch")
			}
		},
		"batches that are not there are refused": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			f.extract(t, doc, 10)
			_, err := f.FinishBatch(t.Context(), ref(doc), 1)
			wantFault(t, "finish", err, fault.Permanent, "batch_mismatch")
			_, _, err = f.Chunks(t.Context(), ref(doc), catalog.Batch{Number: 1, From: 8, To: 12})
			wantFault(t, "chunks", err, fault.Permanent, "batch_mismatch")
		},
		"a document with open batches does not go live": func(t *testing.T, f *fixture) {
			doc := f.accept(t, upload("d", "one"), catalog.Created)
			f.extract(t, doc, 70)
			if _, err := f.FinishBatch(t.Context(), ref(doc), 0); err != nil {
				t.Fatal(err)
			}
			_, err := f.GoLive(t.Context(), ref(doc))
			wantFault(t, "go live", err, fault.Permanent, "batches_open")
			wantStatus(t, f.current(t, "d"), corpus.Embedding, 1)
		},
		"a failure of new bytes leaves the live version": func(t *testing.T, f *fixture) {
			old := f.index(t, f.accept(t, upload("d", "one"), catalog.Created), 3)
			doc := f.accept(t, upload("d", "two"), catalog.Replaced)
			f.extract(t, doc, 5)
			failed := f.fail(t, doc, true)
			wantStatus(t, failed, corpus.Failed, 2)
			if failed.LiveVersion != old.SHA256 {
				t.Error("the live version is gone")
			}
			wantEqual(t, "the live chunks", f.live(t), chunksOf(old, 3))
		},
		"the first failure stays": func(t *testing.T, f *fixture) {
			doc := f.fail(t, f.accept(t, upload("d", "one"), catalog.Created), false)
			again, err := f.Fail(t.Context(), ref(doc), corpus.Failure{Code: "other", Retryable: true})
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, "the document", again, doc)
		},
	}
}

// finishWith ends an extraction of n chunks and takes the document to indexed.
func (f *fixture) finishWith(t *testing.T, doc corpus.Document, n int) {
	t.Helper()
	_, open, err := f.Extracted(t.Context(), ref(doc), catalog.Extraction{Chunks: n})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range open {
		if _, err := f.FinishBatch(t.Context(), ref(doc), b.Number); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.GoLive(t.Context(), ref(doc)); err != nil {
		t.Fatal(err)
	}
}
