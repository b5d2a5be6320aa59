package sqlcatalog

import (
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/recent"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// What the halves of the two hold: about 6,000 chunks of 1,000 characters each,
// and 2,000 documents with a few fields of metadata; 20 MiB altogether.
const (
	recentChunksHalf = 8 << 20
	recentRowsHalf   = 2 << 20
)

// What an entry weighs beside its texts: the value, the key, its share of the
// map, rounded up.
const (
	chunkWeight = 320
	rowWeight   = 800
	fieldWeight = 96
)

// rowKey names a document.
type rowKey struct{ tenant, id string }

// recentRows remembers rows of documents. A row is only taken for the revision
// that it was read at, or while its mark holds, see [sqldb.Marks]. What is
// remembered is shared: nobody changes it. It is safe for concurrent use.
type recentRows struct {
	*recent.Cache[rowKey, markedRow]
}

// markedRow is a row with the mark of its document from before it was read.
type markedRow struct {
	*row
	mark sqldb.Mark
}

func newRecentRows() *recentRows {
	return &recentRows{recent.New(recentRowsHalf, func(_ rowKey, r markedRow) int { return r.weight() })}
}

// weight is about how many bytes the row takes in memory.
func (r *row) weight() int {
	n := rowWeight + len(r.Tenant) + len(r.ID) + len(r.Collection) + len(r.givenTitle) + len(r.foundTitle) + len(r.Filename) + len(r.Source) +
		len(r.MediaType) + len(r.SHA256) + len(r.LiveVersion) + len(r.blobKey)
	if r.Failure != nil {
		n += fieldWeight + len(r.Failure.Code) + len(r.Failure.Message)
	}
	for _, list := range [][]string{r.Warnings, r.ACL} {
		for _, s := range list {
			n += fieldWeight + len(s)
		}
	}
	for key, value := range r.Metadata {
		n += fieldWeight + len(key)
		if s, ok := value.(string); ok {
			n += len(s)
		}
	}
	return n
}

// get sets the documents of f to what is known of them at these revisions,
// and returns the ids of the others that exist.
func (c *recentRows) get(f *finding, revisions []int64) (others []string) {
	for i, revision := range revisions[:len(f.ids)] {
		f.documents[i] = nil
		if revision == 0 {
			continue
		}
		id := f.ids[i]
		if r, ok := c.Get(rowKey{f.scope.Tenant(), id}); ok && r.stored == revision {
			f.documents[i] = r.row
		} else {
			others = append(others, id)
		}
	}
	return others
}

// all sets the documents of f to what is known of them, and reports whether
// all are. Marked says whether their marks hold.
func (c *recentRows) all(f *finding, marks *sqldb.Marks) (known, marked bool) {
	tenant := f.scope.Tenant()
	marked = true
	for i, id := range f.ids {
		r, ok := c.Get(rowKey{tenant, id})
		if !ok {
			return false, false
		}
		f.documents[i] = r.row
		marked = marked && marks.Hold(r.mark, tenant, id)
	}
	return true, marked
}

// put remembers rows, nil ones aside, with the marks of their documents from
// before they were read.
func (c *recentRows) put(rows []*row, marks []sqldb.Mark) {
	for i, r := range rows {
		if r == nil {
			continue
		}
		key, now := rowKey{r.Tenant, r.ID}, markedRow{r, marks[i]}
		if before, ok := c.Get(key); !ok || before != now {
			c.Put(key, now)
		}
	}
}

// chunkKey names a chunk of one generation. The chunks of a live version
// never change within it, so that what is remembered is never stale; whether
// the document may be seen is asked anew each time.
type chunkKey struct {
	ref        corpus.ChunkRef
	generation int64
}

// recentChunks remembers chunks of live versions. It is safe for concurrent use.
type recentChunks struct {
	*recent.Cache[chunkKey, *corpus.Chunk]
}

func newRecentChunks() *recentChunks {
	return &recentChunks{recent.New(recentChunksHalf, func(_ chunkKey, c *corpus.Chunk) int {
		return chunkWeight + len(c.Tenant) + len(c.Document) + len(c.Version) + len(c.Section) + len(c.Text)
	})}
}

// get sets the chunks of f to what is known, and returns those refs that may
// be seen and are not.
func (c *recentChunks) get(f *finding) (others []corpus.ChunkRef) {
	for i, ref := range f.refs {
		f.chunks[i] = nil
		doc := f.document(i)
		if doc == nil {
			continue
		}
		if chunk, ok := c.Get(chunkKey{ref, doc.Generation}); ok {
			f.chunks[i] = chunk
		} else {
			others = append(others, ref)
		}
	}
	return others
}

// put remembers the chunks of f that are of live versions; others may still be written.
func (c *recentChunks) put(f *finding) {
	for i, ref := range f.refs {
		doc := f.document(i)
		if f.chunks[i] != nil && doc.Status == corpus.Indexed && ref.Version == doc.LiveVersion {
			c.Put(chunkKey{ref, doc.Generation}, f.chunks[i])
		}
	}
}
