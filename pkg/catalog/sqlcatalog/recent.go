package sqlcatalog

import (
	"sync"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// recentSize is how many chunks each half of the cache holds: about 2 MB of
// text altogether, for what most questions are answered from.
const recentSize = 1024

// recentKey names a chunk of one generation. The chunks of a live version
// never change within it, so that what is remembered is never stale; whether
// the document may be seen is asked anew each time.
type recentKey struct {
	ref        corpus.ChunkRef
	generation int64
}

// recentChunks remembers the chunks that were found last. It keeps two
// halves: when the young one is full it becomes the old one, and what is
// still asked for moves back. It is safe for concurrent use.
type recentChunks struct {
	mu         sync.Mutex
	young, old map[recentKey]corpus.Chunk
}

func newRecentChunks() *recentChunks { return &recentChunks{young: map[recentKey]corpus.Chunk{}} }

// get moves what is known of refs into chunks and returns the rest.
func (c *recentChunks) get(refs []corpus.ChunkRef, docs map[string]*row, chunks map[corpus.ChunkRef]corpus.Chunk) []corpus.ChunkRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing := make([]corpus.ChunkRef, 0, len(refs))
	for _, ref := range refs {
		key := recentKey{ref, docs[ref.Document].Generation}
		chunk, ok := c.young[key]
		if !ok {
			if chunk, ok = c.old[key]; ok {
				c.add(key, chunk)
			}
		}
		if ok {
			chunks[ref] = chunk
		} else {
			missing = append(missing, ref)
		}
	}
	return missing
}

// put remembers chunks of live versions; others may still be written.
func (c *recentChunks) put(refs []corpus.ChunkRef, docs map[string]*row, chunks map[corpus.ChunkRef]corpus.Chunk) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ref := range refs {
		doc := docs[ref.Document]
		chunk, ok := chunks[ref]
		if ok && doc.Status == corpus.Indexed && ref.Version == doc.LiveVersion {
			c.add(recentKey{ref, doc.Generation}, chunk)
		}
	}
}

func (c *recentChunks) add(key recentKey, chunk corpus.Chunk) {
	if len(c.young) >= recentSize {
		c.old, c.young = c.young, make(map[recentKey]corpus.Chunk, recentSize)
	}
	c.young[key] = chunk
}
