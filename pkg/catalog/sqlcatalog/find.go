package sqlcatalog

import (
	"context"
	"fmt"
	"slices"

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
	err := s.db.Tenant(scope.Tenant()).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, err := seen(ctx, tx, scope, id); err != nil {
			return err
		}
		var err error
		chunks, err = readChunks(ctx, tx, scope.Tenant(), selectLiveChunks, scope.Tenant(), id, after, clampLimit(limit))
		return err
	})
	return chunks, wrap("list chunks", err)
}

// Find implements [catalog.Store].
//
// Most of what it reads it has read before. It has to know only whether that
// is still so. In a process that is the only one to write to the database its
// marks tell, and the database is asked nothing. Else it is asked for the
// revision of every document, its updated_at, which grows with every change of
// the row (see [Store.touch]): a remembered row is used when it is of the very
// revision that the database has. Either way a deletion, another acl or a new
// version holds from the moment its write has returned.
func (s *Store) Find(ctx context.Context, scope corpus.Scope, refs []corpus.ChunkRef) ([]catalog.Found, error) {
	f := newFinding(scope, refs)
	if len(f.ids) == 0 {
		return nil, nil
	}
	for i, id := range f.ids {
		f.marks[i] = s.marks.Of(scope.Tenant(), id)
	}
	remembered, err := s.findRemembered(ctx, f)
	if err == nil && !remembered {
		err = s.db.Tenant(scope.Tenant()).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := s.findDocuments(ctx, tx, f); err != nil {
				return err
			}
			return s.findChunks(ctx, tx, f)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("find chunks: %w", err)
	}
	return f.found(), nil
}

// findRemembered fills f with what is remembered, and reports whether that is
// all of it and still as the database has it.
func (s *Store) findRemembered(ctx context.Context, f *finding) (bool, error) {
	known, marked := s.rows.all(f, s.marks)
	if !known {
		return false, nil
	}
	rows := slices.Clone(f.documents) // what is not seen may be, by now
	f.hideUnseen()
	if len(s.chunks.get(f)) > 0 {
		return false, nil
	}
	if marked {
		return true, nil
	}
	revisions := newRevisions(f.ids)
	if err := s.db.Tenant(f.scope.Tenant()).ReadSteps(ctx, s.revisionSteps(f, revisions)...); err != nil {
		return false, fmt.Errorf("read revisions of documents: %w", err)
	}
	for i, r := range rows {
		if r.stored != revisions[i] {
			return false, nil
		}
	}
	s.rows.put(rows, f.marks)
	return true, nil
}

// finding is one Find at work.
type finding struct {
	scope corpus.Scope
	refs  []corpus.ChunkRef
	// ids are the documents that refs name, each once, and documentOf tells
	// which one is a ref's: -1 for one of another tenant.
	ids        []string
	documentOf []int
	// marks are those of ids from before anything was read.
	marks []sqldb.Mark
	// documents are the rows of ids; nil are those that are not there, being
	// deleted, or not to be seen by the scope.
	documents []*row
	// chunks are those of refs; nil is what was not found.
	chunks []*corpus.Chunk
}

func newFinding(scope corpus.Scope, refs []corpus.ChunkRef) *finding {
	f := &finding{
		scope: scope, refs: refs, ids: make([]string, 0, len(refs)), documentOf: make([]int, len(refs)), chunks: make([]*corpus.Chunk, len(refs)),
	}
	tenant := scope.Tenant()
	places := make(map[string]int, len(refs))
	for i, ref := range refs {
		if ref.Tenant != tenant {
			f.documentOf[i] = -1
			continue
		}
		place, known := places[ref.Document]
		if !known {
			place = len(f.ids)
			places[ref.Document] = place
			f.ids = append(f.ids, ref.Document)
		}
		f.documentOf[i] = place
	}
	f.documents, f.marks = make([]*row, len(f.ids)), make([]sqldb.Mark, len(f.ids))
	return f
}

// hideUnseen leaves out what the scope does not see.
func (f *finding) hideUnseen() {
	for i, r := range f.documents {
		if r != nil && !f.scope.Sees(r.ACL) {
			f.documents[i] = nil
		}
	}
}

// document returns the row of the i-th ref when its chunk may be seen: when
// the document is seen and the version is the live one, or the one about to
// be. Between the moments in which index and catalog switch versions, either
// is right; older ones are being swept.
func (f *finding) document(i int) *row {
	if f.documentOf[i] < 0 {
		return nil
	}
	r := f.documents[f.documentOf[i]]
	if r == nil || f.refs[i].Version != r.LiveVersion && f.refs[i].Version != r.SHA256 {
		return nil
	}
	return r
}

func (f *finding) found() []catalog.Found {
	found := make([]catalog.Found, 0, len(f.refs))
	for i, c := range f.chunks {
		if c != nil {
			found = append(found, catalog.Found{Chunk: *c, Document: f.document(i).Document})
		}
	}
	return found
}

// findDocuments fills f.documents.
func (s *Store) findDocuments(ctx context.Context, tx *sqldb.Tx, f *finding) error {
	revisions := newRevisions(f.ids)
	for _, step := range s.revisionSteps(f, revisions) {
		if _, err := tx.One(ctx, step.Query, step.Args, step.Dest...); err != nil {
			return fmt.Errorf("read revisions of documents: %w", err)
		}
	}
	if changed := s.rows.get(f, revisions); len(changed) > 0 {
		rows, err := s.readDocuments(ctx, tx, f.scope.Tenant(), changed)
		if err != nil {
			return err
		}
		for i, id := range f.ids {
			if r := rows[id]; r != nil {
				f.documents[i] = r
			}
		}
	}
	s.rows.put(f.documents, f.marks)
	f.hideUnseen()
	return nil
}

// newRevisions makes room for the revisions of documents, and for what a
// lookup is padded with.
func newRevisions(ids []string) []int64 { return make([]int64, len(ids)+maxLookup) }

// revisionSteps read the updated_at of each document of f into revisions, 0
// for one that is not there.
func (s *Store) revisionSteps(f *finding, revisions []int64) []sqldb.Step {
	steps := make([]sqldb.Step, 0, 1)
	for from := 0; from < len(f.ids); from += maxLookup {
		slice := f.ids[from:min(from+maxLookup, len(f.ids))]
		n := bucket(len(slice))
		dest := make([]any, n)
		for i := range dest {
			dest[i] = &revisions[from+i]
		}
		steps = append(steps, sqldb.Step{
			Query: s.lookups[n].revisions, Args: documentArguments(f.scope.Tenant(), slice, n), Found: new(bool), Dest: dest,
		})
	}
	return steps
}

// readDocuments returns rows by id, without those that are not there or being deleted.
func (s *Store) readDocuments(ctx context.Context, tx *sqldb.Tx, tenant string, ids []string) (map[string]*row, error) {
	rows := make(map[string]*row, len(ids))
	for len(ids) > 0 {
		slice := ids[:min(len(ids), maxLookup)]
		ids = ids[len(slice):]
		n := bucket(len(slice))
		err := tx.Each(ctx, s.lookups[n].documents, documentArguments(tenant, slice, n), func(scan func(...any) error) error {
			r, err := scanRow(scan)
			if err == nil {
				rows[r.ID] = r
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// findChunks fills f.chunks.
func (s *Store) findChunks(ctx context.Context, tx *sqldb.Tx, f *finding) error {
	missing := s.chunks.get(f)
	if len(missing) == 0 {
		return nil
	}
	chunks, err := s.lookUpChunks(ctx, tx, f.scope.Tenant(), missing)
	if err != nil {
		return err
	}
	for i, ref := range f.refs {
		if f.chunks[i] == nil && f.document(i) != nil {
			f.chunks[i] = chunks[ref]
		}
	}
	s.chunks.put(f)
	return nil
}

// lookUpChunks returns what there is of refs.
func (s *Store) lookUpChunks(ctx context.Context, tx *sqldb.Tx, tenant string, refs []corpus.ChunkRef) (map[corpus.ChunkRef]*corpus.Chunk, error) {
	chunks := make(map[corpus.ChunkRef]*corpus.Chunk, len(refs))
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
			chunks[c.ChunkRef] = &c
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return chunks, nil
}
