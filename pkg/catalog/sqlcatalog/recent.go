package sqlcatalog

import (
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/recent"
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
// that it was read at. What is remembered is shared: nobody changes it. It is
// safe for concurrent use.
type recentRows struct{ *recent.Cache[rowKey, *row] }

func newRecentRows() *recentRows {
	return &recentRows{recent.New(recentRowsHalf, func(_ rowKey, r *row) int { return r.weight() })}
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

// get sets rows to what is known of ids at these revisions, and returns the
// ids of the others that exist.
func (c *recentRows) get(tenant string, ids []string, revisions []int64, rows []*row) (others []string) {
	for i, id := range ids {
		rows[i] = nil
		if revisions[i] == 0 {
			continue
		}
		if r, ok := c.Get(rowKey{tenant, id}); ok && r.stored == revisions[i] {
			rows[i] = r
		} else {
			others = append(others, id)
		}
	}
	return others
}

func (c *recentRows) put(rows map[string]*row) {
	for _, r := range rows {
		c.Put(rowKey{r.Tenant, r.ID}, r)
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
