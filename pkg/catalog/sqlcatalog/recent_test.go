package sqlcatalog

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// findingOf is a Find for one chunk of a document whose row was read.
func findingOf(doc *row, ordinal int) *finding {
	ref := corpus.ChunkRef{Tenant: "t", Document: "d", Version: "v", Ordinal: ordinal}
	return &finding{
		refs: []corpus.ChunkRef{ref}, ids: []string{"d"}, documentOf: []int{0}, documents: []*row{doc}, chunks: make([]*corpus.Chunk, 1),
	}
}

func TestARememberedChunkBelongsToItsGeneration(t *testing.T) {
	t.Parallel()
	c := newRecentChunks()
	put := func(doc *row) {
		f := findingOf(doc, 1)
		f.chunks[0] = &corpus.Chunk{ChunkRef: f.refs[0], Text: "text"}
		c.put(f)
	}
	known := func(doc *row) bool {
		f := findingOf(doc, 1)
		return len(c.get(f)) == 0 && f.chunks[0] != nil
	}
	live := &row{Document: corpus.Document{Tenant: "t", ID: "d", Generation: 1, Status: corpus.Indexed, SHA256: "v", LiveVersion: "v"}}
	put(live)
	if !known(live) {
		t.Error("it was not remembered")
	}
	next := *live
	next.Generation = 2
	if known(&next) {
		t.Error("a chunk of another generation was taken")
	}
	unsettled := *live
	unsettled.Status, unsettled.Generation = corpus.Embedding, 3
	put(&unsettled)
	if known(&unsettled) {
		t.Error("a chunk that may still be written was remembered")
	}
}

func TestARememberedRowBelongsToItsRevision(t *testing.T) {
	t.Parallel()
	c := newRecentRows()
	first := &row{Document: corpus.Document{Tenant: "t", ID: "d"}, stored: 1}
	c.put([]*row{first, nil}, []sqldb.Mark{7, 0})
	for _, x := range []struct {
		name     string
		tenant   string
		revision int64
		known    bool
		others   int
	}{
		{"its own", "t", 1, true, 0},
		{"a later one", "t", 2, false, 1},
		{"none", "t", 0, false, 0},
		{"another tenant's", "u", 1, false, 1},
	} {
		scope, err := corpus.NewScope(x.tenant)
		if err != nil {
			t.Fatal(err)
		}
		f := findingOf(first, 1)
		f.scope = scope
		others := c.get(f, []int64{x.revision})
		if (f.documents[0] != nil) != x.known || len(others) != x.others {
			t.Errorf("%s: known %v, others %v", x.name, f.documents[0] != nil, others)
		}
	}
}
