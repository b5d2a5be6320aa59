package ingestor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/reconcile"
	"github.com/ragbus/ragbus/pkg/vector"
)

// soon makes everything that does not move count as stalled.
func soon(cfg *Config, _ *Deps) { cfg.Lease = time.Second }

// numbered is a record that tells when a sweep has begun.
type numbered struct {
	reconcile.Record
	taken atomic.Int64
}

func (n *numbered) TakeFence(ctx context.Context) (catalog.Fence, error) {
	defer n.taken.Add(1)
	return n.Record.TakeFence(ctx)
}

// fence takes over from the service, once that has begun to sweep.
func (s *stack) fence(t *testing.T) catalog.Fence {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for s.stop != nil && s.record.taken.Load() == 0 {
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("nobody sweeps")
		}
	}
	fence, err := s.catalog.TakeFence(t.Context())
	check(t, err)
	return fence
}

// after lets the service's clock be ahead of the record's.
func (s *stack) after(d time.Duration) {
	s.now = func() time.Time { return time.Now().Add(d) }
}

func (s *stack) sweepOnce(t *testing.T, fence catalog.Fence) {
	t.Helper()
	check(t, s.round(t.Context(), fence, s.newWalks(fence)))
}

func TestASweeperThatWakesUpDoesNoHarm(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{}, soon, func(cfg *Config, _ *Deps) { cfg.SweepInterval = 100 * time.Millisecond })
	s.accept(t, "book", "book.md", book("herring", 2))
	s.after(time.Minute)
	other, err := New(s.cfg, s.deps)
	check(t, err)
	other.now = s.now
	paused, now := s.fence(t), s.fence(t)
	if err := other.round(t.Context(), paused, other.newWalks(paused)); !errors.Is(err, catalog.ErrFenced) {
		t.Fatalf("the one that was paused: %v", err)
	}
	if n := s.broker.Messages("RAG_INGEST"); n != 0 {
		t.Errorf("it gave %d events out", n)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		other.sweepUnder(t.Context(), paused)
	}()
	s.sweepOnce(t, now)
	if n := s.broker.Messages("RAG_INGEST"); n != 1 {
		t.Errorf("the one that took over gave %d events out", n)
	}
	select {
	case <-done:
	case <-time.After(bound):
		t.Error("the one that was paused goes on")
	}
}

func TestOneOfTwoReplicasSweeps(t *testing.T) {
	t.Parallel()
	interval := func(cfg *Config, _ *Deps) { cfg.Lease, cfg.SweepInterval = time.Second, 100*time.Millisecond }
	s := prepare(t, scriptembed.Config{}, interval)
	other, err := New(s.cfg, s.deps)
	check(t, err)
	s.run(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- other.Run(ctx) }()
	defer func() {
		cancel()
		check(t, <-ended)
	}()
	for _, id := range []string{"a", "b", "c"} {
		s.accept(t, id, id+".md", book("herring", 2))
	}
	s.rested(t)
	if n := s.record.taken.Load(); n != 1 {
		t.Errorf("%d fences were taken by two replicas", n)
	}
}

func TestAChangeThatWasNeverPublishedReachesTheIndex(t *testing.T) {
	t.Parallel()
	s := start(t, scriptembed.Config{}, soon)
	s.upload(t, "book", "book.md", book("herring", 2))
	s.rested(t)
	acl := []string{"crew"}
	_, err := s.catalog.Patch(t.Context(), mustScope(t), "book", catalog.Patch{ACL: &acl})
	check(t, err)
	if len(s.search(t, "herring")) == 0 {
		t.Fatal("the index knows already")
	}
	fence := s.fence(t)
	check(t, s.emitChanges(t.Context(), fence)) // within the lease: nothing
	if n := s.broker.Messages("RAG_INGEST"); n != 0 {
		t.Errorf("%d events within the lease", n)
	}
	s.after(time.Minute)
	check(t, s.emitChanges(t.Context(), fence))
	s.rested(t)
	if n := len(s.search(t, "herring")); n != 0 {
		t.Errorf("the public finds %d chunks of the crew", n)
	}
	left, err := s.catalog.Unconfirmed(t.Context(), fence, time.Now().Add(time.Hour), 10)
	if err != nil || len(left) != 0 {
		t.Errorf("unconfirmed: %v, %v", left, err)
	}
}

// lateACL changes the acl when the first version is about to go live, and
// tells the index at once, as a quick worker does.
type lateACL struct {
	vector.Index
	s    *stack
	t    *testing.T
	done bool
}

func (l *lateACL) Activate(ctx context.Context, doc vector.Document) error {
	if !l.done {
		l.done = true
		acl := []string{"crew"}
		changed, err := l.s.catalog.Patch(ctx, mustScope(l.t), "book", catalog.Patch{ACL: &acl})
		if err != nil {
			return err
		}
		if err := l.SetAttributes(ctx, indexed(changed)); err != nil {
			return err
		}
	}
	return l.Index.Activate(ctx, doc)
}

func TestAChangeWhileAVersionGoesLiveIsNotUndone(t *testing.T) {
	t.Parallel()
	late := &lateACL{t: t}
	s := prepare(t, scriptembed.Config{}, func(_ *Config, d *Deps) {
		late.Index = d.Index
		d.Index = late
	})
	late.s = s
	s.run(t)
	doc := s.upload(t, "book", "book.md", book("herring", 2))
	if n := len(s.search(t, "herring")); n != 0 || !slices.Equal(doc.ACL, []string{"crew"}) {
		t.Errorf("the public finds %d chunks of %v", n, doc.ACL)
	}
}

func TestOldKeysOfUploadsAreForgotten(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{}, soon)
	send := func(id, key string) catalog.Outcome {
		_, outcome, err := s.catalog.Accept(t.Context(), catalog.Upload{
			Tenant: corpus.DefaultTenant, ID: id, Collection: corpus.DefaultCollection, SHA256: hashOf(1), BlobKey: "documents/default/d/" + id,
			Once: catalog.Once{Key: key, Digest: "a"},
		})
		check(t, err)
		return outcome
	}
	const n = forgetAtOnce + 1
	for i := range n {
		send("d", "key-"+strconv.Itoa(i))
	}
	fence := s.fence(t)
	s.after(catalog.RepeatableFor - time.Minute)
	check(t, s.forgetUploads(t.Context(), fence))
	for _, key := range []string{"key-0", "key-" + strconv.Itoa(n-1)} {
		if outcome := send("d", key); outcome != catalog.Repeated {
			t.Errorf("before its time, %s is forgotten: %d", key, outcome)
		}
	}
	s.after(catalog.RepeatableFor + time.Minute)
	check(t, s.forgetUploads(t.Context(), fence))
	for _, key := range []string{"key-0", "key-" + strconv.Itoa(n-1)} {
		if outcome := send("d", key); outcome != catalog.Unchanged {
			t.Errorf("after its time, %s is remembered: %d", key, outcome)
		}
	}
}

func TestALostBatchIsFoundByCount(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{}, soon)
	doc, _ := s.accept(t, "book", "book.md", book("herring", 80))
	ref := catalog.Ref{Tenant: doc.Tenant, ID: doc.ID, Generation: doc.Generation}
	// All batches are done, and the store of the points was lost before the version went live.
	_, key, err := s.catalog.Begin(t.Context(), ref)
	check(t, err)
	x, err := s.extract(t.Context(), ref, doc, key)
	check(t, err)
	_, open, err := s.catalog.Extracted(t.Context(), ref, x)
	check(t, err)
	for _, b := range open {
		_, err := s.catalog.FinishBatch(t.Context(), ref, b.Number)
		check(t, err)
	}
	s.after(time.Minute)
	s.sweepOnce(t, s.fence(t))
	s.run(t)
	s.rested(t)
	s.whole(t, s.book(t))
	if again := s.book(t).Generation; again != 2 || len(open) < 2 {
		t.Errorf("generation %d, %d batches", again, len(open))
	}
}

func TestOrphanedBytesAndPointsGoAfterTheGrace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, scriptembed.Config{}, func(cfg *Config, d *Deps) {
		url, err := blob.FileURL(dir)
		check(t, err)
		blobs, err := blob.Open(t.Context(), url)
		check(t, err)
		t.Cleanup(func() { check(t, blobs.Close()) })
		d.Blobs, cfg.OrphanGrace = blobs, time.Hour
	})
	s.whole(t, s.upload(t, "book", "book.md", book("herring", 2)))
	ghost := vector.Document{Tenant: corpus.DefaultTenant, Collection: "default", ID: "ghost", Version: "v", Generation: 9}
	check(t, s.index.Upsert(t.Context(), ghost, []vector.Point{{Ordinal: 0, Text: "a ghost"}}))
	for _, upload := range []string{"old", "young"} {
		key, err := blob.Key(corpus.DefaultTenant, "gateway", upload)
		check(t, err)
		_, err = s.blobs.Put(t.Context(), key, bytes.NewReader([]byte(upload)), blob.PutOptions{})
		check(t, err)
	}
	longAgo := time.Now().Add(-48 * time.Hour)
	check(t, os.Chtimes(filepath.Join(dir, "documents", corpus.DefaultTenant, "gateway", "old"), longAgo, longAgo))
	look := func() string {
		var left []string
		for _, key := range s.blobKeys(t) {
			left = append(left, key[strings.LastIndexByte(key, '/')+1:])
		}
		state, err := s.index.Inspect(t.Context(), corpus.DefaultTenant, "ghost")
		check(t, err)
		if len(state.Points) > 0 {
			left = append(left, "ghost")
		}
		return strings.Join(left[1:], " ") // the book's own come first
	}
	fence := s.fence(t)
	s.sweepOnce(t, fence)
	if got := look(); got != "old young ghost" {
		t.Errorf("when they are first seen: %s", got)
	}
	s.after(59 * time.Minute)
	s.sweepOnce(t, fence)
	if got := look(); got != "old young ghost" {
		t.Errorf("within the grace: %s", got)
	}
	// What is young now was never looked at before: its grace begins.
	s.after(61 * time.Minute)
	s.sweepOnce(t, fence)
	if got := look(); got != "" && got != "young" {
		t.Errorf("after the grace: %s", got)
	}
	s.whole(t, s.book(t))
}

func TestAWalkGoesOnWhereItsPredecessorStopped(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{})
	for i := range documentsAtOnce + 3 {
		s.accept(t, "d"+string(rune('a'+i/26))+string(rune('a'+i%26)), "d.md", "text")
	}
	first := s.fence(t)
	s.sweepOnce(t, first)
	place, err := s.catalog.Place(t.Context(), first, "documents")
	check(t, err)
	if place != corpus.DefaultTenant+"/dbx" {
		t.Errorf("after %d documents it is at %q", documentsAtOnce, place)
	}
	second := s.fence(t)
	w := s.newWalks(second)
	check(t, w.step(t.Context()))
	if place, err = s.catalog.Place(t.Context(), second, "documents"); err != nil || place != "" {
		t.Errorf("it goes on to %q, %v", place, err)
	}
	if rests := w.rests["documents"]; time.Until(rests) < s.cfg.ReconcileInterval/2 {
		t.Errorf("it begins again at %s", rests)
	}
}

func TestManyBatchesAreGivenOutInBoundedRounds(t *testing.T) {
	t.Parallel()
	s := prepare(t, scriptembed.Config{}, soon)
	for i := range 3 * claimAtOnce {
		s.accept(t, "d"+string(rune('a'+i/26))+string(rune('a'+i%26)), "d.md", "text")
	}
	s.after(5 * time.Second) // patience is longer
	fence := s.fence(t)
	check(t, s.emitStalled(t.Context(), fence))
	// A window of them is in the queue; the others stand in line behind it.
	line, err := s.catalog.Waiting(t.Context(), corpus.DefaultTenant, catalog.Extract, 4*claimAtOnce)
	check(t, err)
	if n := int(s.broker.Messages("RAG_INGEST")); n != s.window.Size(catalog.Extract) || n+len(line) < 3*claimAtOnce {
		t.Errorf("%d events, %d documents wait, of %d", n, len(line), 3*claimAtOnce)
	}
	s.publish(t, event.DocumentDeleted{ID: "never"})
	// The queue is not empty: they are given more time.
	check(t, s.emitStalled(t.Context(), fence))
	if n := int(s.broker.Messages("RAG_INGEST")); n != s.window.Size(catalog.Extract)+1 {
		t.Errorf("%d events while they wait in the queue", n)
	}
}
