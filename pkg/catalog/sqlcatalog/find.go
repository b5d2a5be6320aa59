package sqlcatalog

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

const selectLiveChunks = `select c.document, c.version, c.ordinal, c.page, c.char_start, c.char_end, c.section, c.body
	from chunks c cross join documents d
	where d.tenant = $1 and d.id = $2 and d.status not in ('deleting', 'deleted')
	and c.tenant = d.tenant and c.document = d.id and c.version = d.live_version and c.ordinal > $3
	order by c.ordinal limit $4`

// ListChunks implements [catalog.Store].
func (s *Store) ListChunks(ctx context.Context, scope corpus.Scope, id string, after, limit int) ([]corpus.Chunk, error) {
	var chunks []corpus.Chunk
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := seen(ctx, tx, scope, id); err != nil {
			return err
		}
		var err error
		chunks, err = readChunks(ctx, tx, scope.Tenant(), selectLiveChunks, scope.Tenant(), id, after, clampLimit(limit))
		return err
	})
	return chunks, wrap("list chunks", err)
}

// maxLookup is how many keys one statement looks up; longer lists take several.
const maxLookup = 64

// Find implements [catalog.Store].
func (s *Store) Find(ctx context.Context, scope corpus.Scope, refs []corpus.ChunkRef) ([]catalog.Found, error) {
	tenant := scope.Tenant()
	if len(refs) == 0 {
		return nil, nil
	}
	var (
		docs   map[string]*row
		chunks = make(map[corpus.ChunkRef]corpus.Chunk, len(refs))
	)
	err := s.db.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var err error
		if docs, err = s.findDocuments(ctx, tx, scope, refs); err != nil {
			return err
		}
		missing := s.recent.get(visible(refs, docs), docs, chunks)
		if err := s.findChunks(ctx, tx, tenant, missing, chunks); err != nil {
			return err
		}
		s.recent.put(missing, docs, chunks)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find chunks: %w", err)
	}
	found := make([]catalog.Found, 0, len(chunks))
	for _, ref := range refs {
		if c, ok := chunks[ref]; ok {
			found = append(found, catalog.Found{Chunk: c, Document: docs[ref.Document].Document})
		}
	}
	return found, nil
}

// findDocuments returns what the scope sees of the documents that refs name, by id.
func (s *Store) findDocuments(ctx context.Context, tx *sqldb.Tx, scope corpus.Scope, refs []corpus.ChunkRef) (map[string]*row, error) {
	docs := make(map[string]*row, len(refs))
	ids := make([]string, 0, len(refs))
	for _, ref := range refs {
		if _, known := docs[ref.Document]; !known && ref.Tenant == scope.Tenant() {
			docs[ref.Document] = nil
			ids = append(ids, ref.Document)
		}
	}
	for len(ids) > 0 {
		slice := ids[:min(len(ids), maxLookup)]
		ids = ids[len(slice):]
		n := bucket(len(slice))
		args := make([]any, 1, n+1)
		args[0] = scope.Tenant()
		for _, id := range slice {
			args = append(args, id)
		}
		for len(args) <= n {
			args = append(args, "")
		}
		err := tx.Each(ctx, s.lookups[n].documents, args, func(scan func(...any) error) error {
			r, err := scanRow(scan)
			if err == nil && scope.Sees(r.ACL) {
				docs[r.ID] = r
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return docs, nil
}

// visible returns the refs whose document is seen and whose version is the
// live one, or the one about to be: between the moments in which index and
// catalog switch versions, either is right. Older ones are being swept.
func visible(refs []corpus.ChunkRef, docs map[string]*row) []corpus.ChunkRef {
	seen := make([]corpus.ChunkRef, 0, len(refs))
	for _, ref := range refs {
		if r := docs[ref.Document]; r != nil && ref.Tenant == r.Tenant && (ref.Version == r.LiveVersion || ref.Version == r.SHA256) {
			seen = append(seen, ref)
		}
	}
	return seen
}

// findChunks reads refs into chunks.
func (s *Store) findChunks(ctx context.Context, tx *sqldb.Tx, tenant string, refs []corpus.ChunkRef, chunks map[corpus.ChunkRef]corpus.Chunk) error {
	for len(refs) > 0 {
		slice := refs[:min(len(refs), maxLookup)]
		refs = refs[len(slice):]
		n := bucket(len(slice))
		args := make([]any, 1, 3*n+1)
		args[0] = tenant
		for _, ref := range slice {
			args = append(args, ref.Document, ref.Version, ref.Ordinal)
		}
		for len(args) <= 3*n {
			args = append(args, "", "", -1)
		}
		err := tx.Each(ctx, s.lookups[n].chunks, args, func(scan func(...any) error) error {
			c, err := scanChunk(scan, tenant)
			chunks[c.ChunkRef] = c
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lookup holds the statements that look up n keys at once.
type lookup struct {
	documents string
	chunks    string
	vectors   string
}

// smallestLookup is the number of keys that a shorter list is padded to.
const smallestLookup = 4

// bucket rounds the number of keys up to that of a prepared lookup.
func bucket(n int) int {
	size := smallestLookup
	for size < n {
		size *= 2
	}
	return size
}

func newLookups() map[int]lookup {
	lookups := make(map[int]lookup)
	for n := smallestLookup; n <= maxLookup; n *= 2 {
		lookups[n] = lookup{
			documents: "select " + documentColumns + " from documents where tenant = $1 and status not in ('deleting', 'deleted') and id in (" + marks(2, n) + ")",
			chunks:    chunksStatement(n),
			vectors:   "select hash, vector from vectors where tenant = $1 and profile = $2 and hash in (" + marks(3, n) + ")",
		}
	}
	return lookups
}

// chunksStatement looks up n chunks. It is no join of the list with the
// table: SQLite plans a join anew whenever one of its parameters turns to 0
// or 1, as ordinals do.
func chunksStatement(n int) string {
	var b strings.Builder
	b.WriteString("select " + chunkColumns + " from chunks where tenant = $1 and (document, version, ordinal) in (values ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "($%d, $%d, cast($%d as bigint))", 3*i+2, 3*i+3, 3*i+4)
	}
	b.WriteString(")")
	return b.String()
}

// marks returns "$from, …" with n placeholders.
func marks(from, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(from + i))
	}
	return b.String()
}
