package ingestor

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/worker"
)

// errCut stands for a process that died or a connection that broke.
var errCut = errors.New("cut")

// cut fails one step once, before or after its effect: after is a crash
// whose work was done and never acknowledged.
type cut struct {
	step  string
	after bool

	mu   sync.Mutex
	done bool
}

func (c *cut) hit(step string, after bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done || step != c.step || after != c.after {
		return nil
	}
	c.done = true
	return errCut
}

func (c *cut) around(step string, effect func() error) error {
	if err := c.hit(step, false); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return err
	}
	return c.hit(step, true)
}

type cutCatalog struct {
	catalog.Store
	catalog.VectorCache
	cut *cut
}

func (c cutCatalog) Begin(ctx context.Context, ref catalog.Ref) (doc corpus.Document, key string, err error) {
	err = c.cut.around("begin", func() error { doc, key, err = c.Store.Begin(ctx, ref); return err })
	return doc, key, err
}

func (c cutCatalog) PutChunks(ctx context.Context, ref catalog.Ref, chunks []corpus.Chunk) error {
	return c.cut.around("put chunks", func() error { return c.Store.PutChunks(ctx, ref, chunks) })
}

func (c cutCatalog) Extracted(ctx context.Context, ref catalog.Ref, x catalog.Extraction) (doc corpus.Document, open []catalog.Batch, err error) {
	err = c.cut.around("extracted", func() error { doc, open, err = c.Store.Extracted(ctx, ref, x); return err })
	return doc, open, err
}

func (c cutCatalog) PutVectors(ctx context.Context, ref catalog.Ref, profile string, v map[string][]float32) error {
	return c.cut.around("put vectors", func() error { return c.VectorCache.PutVectors(ctx, ref, profile, v) })
}

func (c cutCatalog) FinishBatch(ctx context.Context, ref catalog.Ref, n int) (open int, err error) {
	err = c.cut.around("finish batch", func() error { open, err = c.Store.FinishBatch(ctx, ref, n); return err })
	return open, err
}

func (c cutCatalog) GoLive(ctx context.Context, ref catalog.Ref) (doc corpus.Document, err error) {
	err = c.cut.around("go live", func() error { doc, err = c.Store.GoLive(ctx, ref); return err })
	return doc, err
}

func (c cutCatalog) SweepVersions(ctx context.Context, ref catalog.Ref) error {
	return c.cut.around("sweep versions", func() error { return c.Store.SweepVersions(ctx, ref) })
}

func (c cutCatalog) ForgetBlobs(ctx context.Context, ref catalog.Ref, keys []string) error {
	return c.cut.around("forget blobs", func() error { return c.Store.ForgetBlobs(ctx, ref, keys) })
}

func (c cutCatalog) Removed(ctx context.Context, ref catalog.Ref) (doc corpus.Document, err error) {
	err = c.cut.around("removed", func() error { doc, err = c.Store.Removed(ctx, ref); return err })
	return doc, err
}

func (c cutCatalog) Wait(ctx context.Context, turn catalog.Turn) error {
	return c.cut.around("wait", func() error { return c.Store.Wait(ctx, turn) })
}

func (c cutCatalog) Advance(ctx context.Context, turn catalog.Turn, next int) error {
	return c.cut.around("advance", func() error { return c.Store.Advance(ctx, turn, next) })
}

func (c cutCatalog) GivenOut(ctx context.Context, turns []catalog.Turn) error {
	return c.cut.around("given out", func() error { return c.Store.GivenOut(ctx, turns) })
}

type cutIndex struct {
	vector.Index
	cut *cut
}

func (c cutIndex) Upsert(ctx context.Context, doc vector.Document, points []vector.Point) error {
	return c.cut.around("upsert", func() error { return c.Index.Upsert(ctx, doc, points) })
}

func (c cutIndex) Activate(ctx context.Context, doc vector.Document) error {
	return c.cut.around("activate", func() error { return c.Index.Activate(ctx, doc) })
}

func (c cutIndex) Sweep(ctx context.Context, doc vector.Document) error {
	return c.cut.around("sweep index", func() error { return c.Index.Sweep(ctx, doc) })
}

func (c cutIndex) Delete(ctx context.Context, tenant, document string, generation int64) error {
	return c.cut.around("delete index", func() error { return c.Index.Delete(ctx, tenant, document, generation) })
}

type cutPublisher struct {
	worker.Publisher
	cut *cut
}

func (c cutPublisher) Publish(ctx context.Context, e event.Event) error {
	return c.cut.around("publish "+string(e.Kind()), func() error { return c.Publisher.Publish(ctx, e) })
}

// TestACutAtAnyStepConverges cuts the work at each boundary between two
// effects. Whatever was done twice must look as if it had been done once.
func TestACutAtAnyStepConverges(t *testing.T) {
	t.Parallel()
	steps := []string{
		"begin", "put chunks", "extracted", "publish document.embed", "put vectors", "upsert", "finish batch", "activate", "go live",
		"wait", "advance", "given out",
		"sweep index", "sweep versions", "forget blobs", "publish document.indexed", "delete index", "removed", "publish document.removed",
	}
	for _, step := range steps {
		for _, after := range []bool{false, true} {
			name := step + ", before"
			if after {
				name = step + ", after"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c := &cut{step: step, after: after}
				s := start(t, scriptembed.Config{}, func(cfg *Config, d *Deps) {
					cfg.TenantWindow = 1 // of four batches three wait
					store := cutCatalog{Store: d.Catalog, VectorCache: d.Vectors, cut: c}
					d.Catalog, d.Vectors, d.Index = store, store, cutIndex{d.Index, c}
					d.Publisher = cutPublisher{publisherOf(d), c}
				})
				s.live(t, c)
			})
		}
	}
}

// live runs a document through its whole life: two versions and a deletion.
func (s *stack) live(t *testing.T, c *cut) {
	t.Helper()
	s.whole(t, s.upload(t, "book", "book.md", book("herring", 200)))
	doc := s.upload(t, "book", "book.md", book("salmon", 200))
	s.whole(t, doc)
	if n := len(s.search(t, "herring")); n != 0 {
		t.Errorf("%d hits of the old version", n)
	}
	if keys := s.blobKeys(t); len(keys) != 1 {
		t.Errorf("bytes left: %v", keys)
	}
	scope, err := corpus.SystemScope(corpus.DefaultTenant)
	check(t, err)
	doc, err = s.catalog.Delete(t.Context(), scope, "book")
	check(t, err)
	s.publish(t, event.DocumentDeleted{ID: "book", Generation: doc.Generation})
	s.fact(t, "book", doc.Generation)
	doc, err = s.catalog.Document(t.Context(), corpus.DefaultTenant, "book")
	check(t, err)
	if doc.Status != corpus.Deleted || len(s.search(t, "salmon")) > 0 || len(s.blobKeys(t)) > 0 {
		t.Errorf("left after deletion: %+v, bytes %v", doc, s.blobKeys(t))
	}
	if letters := s.dead(t); letters != 0 {
		t.Errorf("%d dead letters", letters)
	}
	s.stop()
	if !c.done {
		t.Fatalf("the step %q never came", c.step)
	}
}
