package ingestor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/worker"
)

// message is work that was published.
type message struct {
	kind       event.Kind
	generation int64
}

// life is what should become of one document: the state machine of the
// record, what the index has of it, and what is in the queue.
type life struct { //nolint:recvcheck // changed by pointer, compared by value
	generation int64
	status     corpus.Status
	// content is what was uploaded last, live what the record calls live; 0 is none.
	content, live int
	crew          bool
	unconfirmed   bool
	// shown and shownCrew are what searches see.
	shown     int
	shownCrew bool
	queue     []message
	// first is what was delivered first, ever: it may come again at any time.
	first *message
}

func (l life) key() string {
	first := ""
	if l.first != nil {
		first = fmt.Sprint(*l.first)
	}
	l.first = nil
	return fmt.Sprintf("%+v %s", l, first)
}

func (l *life) push(kind event.Kind) { l.queue = append(l.queue, message{kind, l.generation}) }

func (l *life) gone() bool {
	return l.status == "" || l.status == corpus.Deleting || l.status == corpus.Deleted
}

func (l *life) upload(content int) {
	switch {
	case l.gone() || l.content != content:
		l.generation++
		l.status, l.content, l.crew = corpus.Accepted, content, false
		l.push(event.KindDocumentUploaded)
	case l.crew:
		l.crew, l.unconfirmed = false, true
		l.push(event.KindDocumentChanged)
	}
}

func (l *life) delete() {
	if l.gone() {
		return
	}
	l.generation++
	l.status, l.live = corpus.Deleting, 0
	l.push(event.KindDocumentDeleted)
}

func (l *life) share() {
	if l.gone() {
		return
	}
	l.crew, l.unconfirmed = !l.crew, true
	l.push(event.KindDocumentChanged)
}

// deliver does what the work of a message does.
func (l *life) deliver(m message) {
	if l.first == nil {
		l.first = &m
	}
	if m.kind == event.KindDocumentChanged {
		l.unconfirmed = false
		if l.shown != 0 {
			l.shownCrew = l.crew
		}
		return
	}
	if m.generation != l.generation {
		return
	}
	switch {
	case m.kind == event.KindDocumentUploaded && slices.Contains([]corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Embedding}, l.status):
		l.status = corpus.Embedding
		l.push(event.KindChunksReady)
	case m.kind == event.KindChunksReady && slices.Contains([]corpus.Status{corpus.Embedding, corpus.Indexed}, l.status):
		l.status, l.live = corpus.Indexed, l.content
		l.shown, l.shownCrew = l.content, l.crew
	case m.kind == event.KindDocumentDeleted && l.gone():
		l.status, l.shown = corpus.Deleted, 0
	}
}

// outstanding is what a sweep emits.
func (l *life) outstanding() []event.Kind {
	var kinds []event.Kind
	switch l.status {
	case corpus.Accepted, corpus.Extracting:
		kinds = append(kinds, event.KindDocumentUploaded)
	case corpus.Embedding:
		kinds = append(kinds, event.KindChunksReady)
	case corpus.Deleting:
		kinds = append(kinds, event.KindDocumentDeleted)
	case corpus.Indexed, corpus.Failed, corpus.Deleted:
	}
	if l.unconfirmed {
		kinds = append(kinds, event.KindDocumentChanged)
	}
	return kinds
}

// move is something that happens.
type move string

const (
	uploadOne  move = "upload v1"
	uploadTwo  move = "upload v2"
	deleteIt   move = "delete"
	changeACL  move = "acl change"
	oldest     move = "deliver the oldest"
	newest     move = "deliver the newest"
	redelivery move = "deliver the first again"
	lose       move = "lose the queue"
	sweepIt    move = "sweep"
)

func moves() []move {
	return []move{uploadOne, uploadTwo, deleteIt, changeACL, oldest, newest, redelivery, lose, sweepIt}
}

// after returns the life after a move; ok is false for one that cannot happen.
func (l life) after(m move) (next life, ok bool) {
	l.queue = slices.Clone(l.queue)
	switch m {
	case uploadOne:
		l.upload(1)
	case uploadTwo:
		l.upload(2)
	case deleteIt:
		l.delete()
	case changeACL:
		l.share()
	case oldest, newest:
		if len(l.queue) == 0 || m == newest && len(l.queue) == 1 {
			return l, false
		}
		at := 0
		if m == newest {
			at = len(l.queue) - 1
		}
		taken := l.queue[at]
		l.queue = slices.Delete(l.queue, at, at+1)
		l.deliver(taken)
	case redelivery:
		if l.first == nil {
			return l, false
		}
		l.deliver(*l.first)
	case lose:
		if len(l.queue) == 0 {
			return l, false
		}
		l.queue = nil
	case sweepIt:
		for _, kind := range l.outstanding() {
			l.push(kind)
		}
	}
	return l, true
}

// actual is one document in real stores, whose queue the test holds.
type actual struct {
	*stack
	fence catalog.Fence
	queue []event.Event
	first *event.Event
}

const subject = "d"

func contentOf(version int) string {
	return strings.Repeat(fmt.Sprintf("version %d of the herring. ", version), 3)
}

func hashOf(version int) string {
	if version == 0 {
		return ""
	}
	return catalog.TextHash(contentOf(version))
}

// clear forgets the document, in the record and in the index.
func (r *actual) clear(t *testing.T) {
	t.Helper()
	check(t, r.db.AllTenants().Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, table := range []string{"document_principals", "documents", "document_blobs", "chunks", "batches", "vectors", "vector_uses", "attribute_changes"} {
			if _, err := tx.Exec(ctx, "delete from "+table); err != nil {
				return err
			}
		}
		return nil
	}))
	check(t, r.index.Forget(t.Context(), corpus.DefaultTenant, subject, 1<<40))
	r.queue, r.first = nil, nil
}

func (r *actual) push(data event.Payload) {
	r.queue = append(r.queue, event.New(corpus.DefaultTenant, time.Now(), data))
}

func (r *actual) upload(t *testing.T, version int) {
	t.Helper()
	doc, outcome, err := r.catalog.Accept(t.Context(), catalog.Upload{
		Tenant: corpus.DefaultTenant, ID: subject, Collection: corpus.DefaultCollection, Filename: "d.txt",
		Bytes: 1, SHA256: hashOf(version), BlobKey: "documents/default/d/" + corpus.NewID(),
	})
	check(t, err)
	switch outcome {
	case catalog.Created, catalog.Replaced:
		r.push(event.DocumentUploaded{ID: subject, Generation: doc.Generation})
	case catalog.Changed:
		r.push(event.DocumentChanged{ID: subject, Revision: doc.UpdatedAt.UnixMicro()})
	case catalog.Unchanged:
	}
}

// ask does what a request does, of which a missing document is an answer.
func (r *actual) ask(t *testing.T, m move) {
	t.Helper()
	doc, err := r.catalog.Document(t.Context(), corpus.DefaultTenant, subject)
	if ignoreMissing(err) != nil {
		t.Fatal(err)
	}
	if m == deleteIt {
		before := doc
		if doc, err = r.catalog.Delete(t.Context(), mustScope(t), subject); err == nil && doc.Generation != before.Generation {
			r.push(event.DocumentDeleted{ID: subject, Generation: doc.Generation})
		}
	} else {
		acl := []string{"crew"}
		if doc.ACL != nil {
			acl = nil
		}
		if doc, err = r.catalog.Patch(t.Context(), mustScope(t), subject, catalog.Patch{ACL: &acl}); err == nil {
			r.push(event.DocumentChanged{ID: subject, Revision: doc.UpdatedAt.UnixMicro()})
		}
	}
	if ignoreMissing(err) != nil {
		t.Fatal(err)
	}
}

// work runs the handler of an event, and the steps of one that reads bytes.
func (r *actual) work(t *testing.T, e event.Event) {
	t.Helper()
	if r.first == nil {
		r.first = &e
	}
	var follow []event.Event
	var err error
	switch d := e.Data.(type) {
	case event.DocumentUploaded:
		follow, err = r.extracted(t, catalog.Ref{Tenant: e.Tenant, ID: d.ID, Generation: d.Generation})
	case event.ChunksReady:
		follow, err = r.chunksReady(t.Context(), worker.Delivery[event.ChunksReady]{Event: e, Data: d})
	case event.DocumentChanged:
		follow, err = r.changed(t.Context(), worker.Delivery[event.DocumentChanged]{Event: e, Data: d})
	case event.DocumentDeleted:
		follow, err = r.deleted(t.Context(), worker.Delivery[event.DocumentDeleted]{Event: e, Data: d})
	default:
		t.Fatalf("nobody works on %T", d)
	}
	check(t, err)
	for _, f := range follow {
		if f.Kind() == event.KindChunksReady {
			r.queue = append(r.queue, f)
		}
	}
}

// extracted is the handler of uploads without the child process that reads.
func (r *actual) extracted(t *testing.T, ref catalog.Ref) ([]event.Event, error) {
	t.Helper()
	doc, _, err := r.catalog.Begin(t.Context(), ref)
	if errors.Is(err, catalog.ErrStale) {
		return r.resume(t.Context(), ref)
	}
	check(t, err)
	chunk := corpus.Chunk{ChunkRef: corpus.ChunkRef{Tenant: ref.Tenant, Document: ref.ID, Version: doc.SHA256}, Text: "herring " + doc.SHA256}
	check(t, r.catalog.PutChunks(t.Context(), ref, []corpus.Chunk{chunk}))
	_, open, err := r.catalog.Extracted(t.Context(), ref, catalog.Extraction{Chunks: 1})
	check(t, err)
	return r.batches(ref, doc.SHA256, open), nil
}

// swept emits what a sweep does and returns the kinds.
func (r *actual) swept(t *testing.T) []event.Kind {
	t.Helper()
	var kinds []event.Kind
	always := time.Now().Add(time.Hour)
	docs, err := r.catalog.Claim(t.Context(), r.fence, always, 10)
	check(t, err)
	for _, doc := range docs {
		events, err := r.checker.Outstanding(t.Context(), doc)
		check(t, err)
		for _, e := range events {
			r.queue, kinds = append(r.queue, e), append(kinds, e.Kind())
		}
	}
	changes, err := r.catalog.Unconfirmed(t.Context(), r.fence, always, 10)
	check(t, err)
	for _, c := range changes {
		r.push(event.DocumentChanged{ID: c.ID, Revision: c.Revision})
		kinds = append(kinds, event.KindDocumentChanged)
	}
	return kinds
}

func (r *actual) do(t *testing.T, m move) {
	t.Helper()
	switch m {
	case uploadOne:
		r.upload(t, 1)
	case uploadTwo:
		r.upload(t, 2)
	case deleteIt, changeACL:
		r.ask(t, m)
	case oldest, newest:
		at := 0
		if m == newest {
			at = len(r.queue) - 1
		}
		e := r.queue[at]
		r.queue = slices.Delete(r.queue, at, at+1)
		r.work(t, e)
	case redelivery:
		r.work(t, *r.first)
	case lose:
		r.queue = nil
	case sweepIt:
		r.swept(t)
	}
}

// seen is the real document in the words of the model, but for what is first.
func (r *actual) seen(t *testing.T) life {
	t.Helper()
	var l life
	doc, err := r.catalog.Document(t.Context(), corpus.DefaultTenant, subject)
	if ignoreMissing(err) != nil {
		t.Fatal(err)
	}
	version := func(hash string) int { return slices.Index([]string{"", hashOf(1), hashOf(2)}, hash) }
	l.generation, l.status, l.content, l.live, l.crew = doc.Generation, doc.Status, version(doc.SHA256), version(doc.LiveVersion), doc.ACL != nil
	state, err := r.index.Inspect(t.Context(), corpus.DefaultTenant, subject)
	check(t, err)
	if l.shown = version(state.Live); l.shown != 0 {
		l.shownCrew = state.ACL != nil
	}
	for v, n := range state.Points {
		if v != state.Live || n != 1 {
			t.Errorf("the index holds %d points of %.8s beside the live %.8s", n, v, state.Live)
		}
	}
	for _, e := range r.queue {
		m := message{kind: e.Kind()}
		switch d := e.Data.(type) {
		case event.DocumentUploaded:
			m.generation = d.Generation
		case event.ChunksReady:
			m.generation = d.Generation
		case event.DocumentDeleted:
			m.generation = d.Generation
		}
		l.queue = append(l.queue, m)
	}
	return l
}

// comparable is the model's life without what only it knows.
func (l life) comparable() string {
	l.first, l.unconfirmed = nil, false
	if l.shown == 0 {
		l.shownCrew = false
	}
	l.queue = slices.Clone(l.queue)
	for i := range l.queue {
		if l.queue[i].kind == event.KindDocumentChanged {
			l.queue[i].generation = 0
		}
	}
	return l.key()
}

// settle sweeps and delivers until nothing is left to do.
func (r *actual) settle(t *testing.T) {
	t.Helper()
	for range 10 {
		if len(r.queue) == 0 && len(r.swept(t)) == 0 {
			return
		}
		for len(r.queue) > 0 {
			r.do(t, oldest)
		}
	}
	t.Error("it does not come to rest")
}

// TestEveryOrderOfEventsAgreesWithTheModel explores what can happen to one
// document, breadth first: each state of the model once, each move from it.
// The real record, index and handlers do the same and must agree after every
// path; and from every state they must come to rest where the last request
// wanted them, whatever was lost, repeated or late.
func TestEveryOrderOfEventsAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	depth := 4 // the race detector makes each state six times as dear; CI goes deeper without it
	if n, err := strconv.Atoi(os.Getenv("RAGBUS_TEST_MODEL_DEPTH")); err == nil {
		depth = n
	}
	s := prepare(t, scriptembed.Config{})
	r := &actual{stack: s, fence: s.fence(t)}
	type node struct {
		life life
		path []move
	}
	seen := map[string]bool{life{}.key(): true}
	frontier := []node{{}}
	paths := 0
	for range depth {
		var next []node
		for _, n := range frontier {
			for _, m := range moves() {
				after, ok := n.life.after(m)
				if !ok || seen[after.key()] {
					continue
				}
				seen[after.key()] = true
				path := append(slices.Clone(n.path), m)
				paths++
				r.clear(t)
				for _, step := range path {
					r.do(t, step)
				}
				if got, want := r.seen(t).comparable(), after.comparable(); got != want {
					t.Fatalf("after %q:\n got %s\nwant %s", path, got, want)
				}
				r.comesToRest(t, after)
				if t.Failed() {
					t.Fatalf("after %q", path)
				}
				next = append(next, node{after, path})
			}
		}
		frontier = next
	}
	t.Logf("%d states within %d moves, each reached and brought to rest for real", len(seen), depth)
	if paths != len(seen)-1 {
		t.Errorf("%d paths to %d states", paths, len(seen))
	}
}

// comesToRest checks what is promised: an accepted document ends indexed, whole
// and visible as its row says, a deleted one leaves nothing.
func (r *actual) comesToRest(t *testing.T, from life) {
	t.Helper()
	if kinds := r.swept(t); !slices.Equal(kinds, from.outstanding()) {
		t.Errorf("a sweep emits %v, want %v", kinds, from.outstanding())
	}
	r.settle(t)
	end := r.seen(t)
	switch {
	case from.status == "":
		if end.status != "" || end.shown != 0 {
			t.Errorf("out of nothing: %+v", end)
		}
	case from.gone():
		if end.status != corpus.Deleted || end.shown != 0 {
			t.Errorf("a deletion ends as %+v", end)
		}
	default:
		if end.status != corpus.Indexed || end.content != from.content || end.live != from.content || end.shown != from.content || end.shownCrew != from.crew || end.crew != from.crew {
			t.Errorf("it ends as %+v", end)
		}
	}
}
