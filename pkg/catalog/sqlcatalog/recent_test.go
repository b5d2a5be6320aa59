package sqlcatalog

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
)

func TestRecentChunksAreBoundedAndBelongToTheirGeneration(t *testing.T) {
	t.Parallel()
	c := newRecentChunks()
	live := &row{Document: corpus.Document{Tenant: "t", ID: "d", Generation: 1, Status: corpus.Indexed, SHA256: "v", LiveVersion: "v"}}
	docs := map[string]*row{"d": live}
	one := func(i int) ([]corpus.ChunkRef, map[corpus.ChunkRef]corpus.Chunk) {
		ref := corpus.ChunkRef{Tenant: "t", Document: "d", Version: "v", Ordinal: i}
		return []corpus.ChunkRef{ref}, map[corpus.ChunkRef]corpus.Chunk{ref: {ChunkRef: ref, Text: "text"}}
	}
	known := func(i int, docs map[string]*row) bool {
		refs, _ := one(i)
		got := map[corpus.ChunkRef]corpus.Chunk{}
		return len(c.get(refs, docs, got)) == 0 && got[refs[0]].Text == "text"
	}
	for i := range 3 * recentSize {
		refs, chunks := one(i)
		c.put(refs, docs, chunks)
		if !known(0, docs) && i < recentSize {
			t.Fatalf("the first was forgotten after %d", i)
		}
		known(1, docs) // what is asked for again and again stays
	}
	if n := len(c.young) + len(c.old); n > 2*recentSize {
		t.Errorf("%d chunks are remembered", n)
	}
	if !known(1, docs) || known(2, docs) || !known(3*recentSize-1, docs) {
		t.Error("the wrong ones were forgotten")
	}
	next := *live
	next.Generation = 2
	if known(1, map[string]*row{"d": &next}) {
		t.Error("a chunk of another generation was taken")
	}
	unsettled := *live
	unsettled.Status, unsettled.Generation = corpus.Embedding, 3
	refs, chunks := one(7)
	c.put(refs, map[string]*row{"d": &unsettled}, chunks)
	if known(7, map[string]*row{"d": &unsettled}) {
		t.Error("a chunk that may still be written was remembered")
	}
}
