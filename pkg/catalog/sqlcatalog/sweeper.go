package sqlcatalog

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// The sweeper's own tables are migrated apart: programs of before do not know them.
//
//go:embed sweep/*.sql
var sweepMigrations embed.FS

var _ catalog.Sweeper = (*Store)(nil)

const (
	// fenceName is the row of sweep_state that holds the greatest fence.
	fenceName   = "fence"
	raiseFence  = `insert into sweep_state (name, fence, place) values ($1, 1, '') on conflict (name) do update set fence = sweep_state.fence + 1 returning fence`
	selectFence = "select fence from sweep_state where name = $1"
	selectPlace = "select place from sweep_state where name = $1"
	setPlace    = `insert into sweep_state (name, fence, place) values ($1, 0, $2) on conflict (name) do update set place = excluded.place`
)

// sweeping runs what a sweeper writes, unless its place was taken.
func (s *Store) sweeping(ctx context.Context, fence catalog.Fence, what string, do sqldb.Func) error {
	// Sweepers take turns, so that what the fence says holds until the end.
	err := s.db.AllTenants().Alone("sweep", "").Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var seen int64
		if _, err := tx.One(ctx, selectFence, []any{fenceName}, &seen); err != nil {
			return fmt.Errorf("look at the fence: %w", err)
		}
		if int64(fence) != seen {
			return catalog.ErrFenced
		}
		return do(ctx, tx)
	})
	return wrap(what, err)
}

// TakeFence implements [catalog.Sweeper].
func (s *Store) TakeFence(ctx context.Context) (catalog.Fence, error) {
	var fence int64
	err := s.db.AllTenants().Alone("sweep", "").Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.One(ctx, raiseFence, []any{fenceName}, &fence)
		return err
	})
	return catalog.Fence(fence), wrap("take a fence", err)
}

// Claim implements [catalog.Sweeper].
func (s *Store) Claim(ctx context.Context, fence catalog.Fence, before time.Time, limit int) ([]corpus.Document, error) {
	var docs []corpus.Document
	err := s.sweeping(ctx, fence, "claim stalled documents", func(ctx context.Context, tx *sqldb.Tx) (err error) {
		docs, err = s.stalled(ctx, tx, before, limit)
		return err
	})
	return docs, err
}

const (
	noteChange = `insert into attribute_changes (tenant, document, revision, emitted_at) values ($1, $2, $3, $3)
		on conflict (tenant, document) do update set revision = excluded.revision, emitted_at = excluded.emitted_at`
	selectUnconfirmed = "select tenant, document, revision from attribute_changes where emitted_at < $1 order by emitted_at, tenant, document limit $2"
	touchUnconfirmed  = "update attribute_changes set emitted_at = $3 where tenant = $1 and document = $2"
	confirmChange     = "delete from attribute_changes where tenant = $1 and document = $2 and revision <= $3"
	selectUnsaid      = "select revision from attribute_changes where tenant = $1 and document = $2 and revision <= $3"
)

// note remembers that the index has to learn what filters read of a document.
func note(ctx context.Context, tx *sqldb.Tx, r *row) error {
	if _, err := tx.Exec(ctx, noteChange, r.Tenant, r.ID, toMicros(r.UpdatedAt)); err != nil {
		return fmt.Errorf("note a change: %w", err)
	}
	return nil
}

// Unconfirmed implements [catalog.Sweeper].
func (s *Store) Unconfirmed(ctx context.Context, fence catalog.Fence, before time.Time, limit int) ([]catalog.Change, error) {
	var changes []catalog.Change
	err := s.sweeping(ctx, fence, "list unconfirmed changes", func(ctx context.Context, tx *sqldb.Tx) error {
		changes = nil
		err := tx.Each(ctx, selectUnconfirmed, []any{before.UnixMicro(), clampLimit(limit)}, func(scan func(...any) error) error {
			var c catalog.Change
			if err := scan(&c.Tenant, &c.ID, &c.Revision); err != nil {
				return fmt.Errorf("read a change: %w", err)
			}
			changes = append(changes, c)
			return nil
		})
		if err != nil {
			return err
		}
		rows := make([][]any, len(changes))
		for i, c := range changes {
			rows[i] = []any{c.Tenant, c.ID, s.now().UnixMicro()}
		}
		return tx.ExecAll(ctx, touchUnconfirmed, rows)
	})
	return changes, err
}

// Confirm implements [catalog.Sweeper].
func (s *Store) Confirm(ctx context.Context, tenant, id string, revision int64) error {
	var unsaid bool
	scope := s.db.Tenant(tenant)
	err := scope.Read(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		var noted int64
		unsaid, err = tx.One(ctx, selectUnsaid, []any{tenant, id, revision}, &noted)
		return err
	})
	if err == nil && unsaid {
		err = scope.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, confirmChange, tenant, id, revision)
			return err
		})
	}
	return wrap("confirm a change", err)
}

const (
	insertSuspect = "insert into suspects (kind, tenant, name, since) values ($1, $2, $3, $4) on conflict do nothing"
	selectSuspect = "select since from suspects where kind = $1 and tenant = $2 and name = $3"
	absolve       = "delete from suspects where kind = $1 and tenant = $2 and name = $3"
)

// Suspect implements [catalog.Sweeper].
func (s *Store) Suspect(ctx context.Context, fence catalog.Fence, kind catalog.Kind, wrong, right []catalog.Suspect) ([]time.Time, error) {
	var since []time.Time
	err := s.sweeping(ctx, fence, "note suspects", func(ctx context.Context, tx *sqldb.Tx) error {
		since = make([]time.Time, len(wrong))
		for i, w := range wrong {
			if _, err := tx.Exec(ctx, insertSuspect, string(kind), w.Tenant, w.Name, s.now().UnixMicro()); err != nil {
				return fmt.Errorf("note a suspect: %w", err)
			}
			var at int64
			if _, err := tx.One(ctx, selectSuspect, []any{string(kind), w.Tenant, w.Name}, &at); err != nil {
				return fmt.Errorf("read a suspect: %w", err)
			}
			since[i] = fromMicros(at)
		}
		rows := make([][]any, len(right))
		for i, r := range right {
			rows[i] = []any{string(kind), r.Tenant, r.Name}
		}
		return tx.ExecAll(ctx, absolve, rows)
	})
	return since, err
}

// placeName keeps the names of walks apart from the fence's.
func placeName(walk string) string { return "walk " + walk }

// Place implements [catalog.Sweeper].
func (s *Store) Place(ctx context.Context, fence catalog.Fence, walk string) (string, error) {
	var place string
	err := s.sweeping(ctx, fence, "look how far a walk got", func(ctx context.Context, tx *sqldb.Tx) error {
		place = ""
		_, err := tx.One(ctx, selectPlace, []any{placeName(walk)}, &place)
		return err
	})
	return place, err
}

// SetPlace implements [catalog.Sweeper].
func (s *Store) SetPlace(ctx context.Context, fence catalog.Fence, walk, place string) error {
	return s.sweeping(ctx, fence, "note how far a walk got", func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, setPlace, placeName(walk), place)
		return err
	})
}

const (
	countVersion = "select count(*) from chunks where tenant = $1 and document = $2 and version = $3"
	selectBlob   = "select 1 from document_blobs where tenant = $1 and blob_key = $2"
)

// Holding implements [catalog.Sweeper].
func (s *Store) Holding(ctx context.Context, tenant, id string) (catalog.Holding, error) {
	var h catalog.Holding
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := load(ctx, tx, tenant, id)
		if err != nil {
			return err
		}
		if r == nil {
			return notFound()
		}
		h = catalog.Holding{}
		if !gone(r.Status) {
			h.BlobKey = r.blobKey
		}
		if r.movedAt != never {
			h.MovedAt = fromMicros(r.movedAt)
		}
		if _, err := tx.One(ctx, countVersion, []any{tenant, id, r.SHA256}, &h.Chunks); err != nil {
			return fmt.Errorf("count chunks: %w", err)
		}
		if h.LiveChunks = h.Chunks; r.LiveVersion == r.SHA256 {
			return nil
		}
		_, err = tx.One(ctx, countVersion, []any{tenant, id, r.LiveVersion}, &h.LiveChunks)
		return err
	})
	return h, wrap("look what is kept of a document", err)
}

// OnRecord implements [catalog.Sweeper].
func (s *Store) OnRecord(ctx context.Context, tenant string, keys []string) (map[string]bool, error) {
	known := make(map[string]bool, len(keys))
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for _, key := range keys {
			var one int
			found, err := tx.One(ctx, selectBlob, []any{tenant, key}, &one)
			if err != nil {
				return fmt.Errorf("look for a blob: %w", err)
			}
			if found {
				known[key] = true
			}
		}
		return nil
	})
	return known, wrap("look for blobs", err)
}

// Reopen implements [catalog.Sweeper].
func (s *Store) Reopen(ctx context.Context, ref catalog.Ref, above int64) (corpus.Document, error) {
	states := []corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed, corpus.Deleting, corpus.Deleted}
	r, err := s.advance(ctx, ref, "reopen document", states, func(ctx context.Context, tx *sqldb.Tx, r *row) error {
		r.Generation = max(r.Generation, above)
		switch r.Status {
		case corpus.Failed:
			r.Generation++
			return s.save(ctx, tx, r)
		case corpus.Deleting, corpus.Deleted:
			r.nextGeneration(corpus.Deleting)
			return s.save(ctx, tx, r)
		case corpus.Accepted, corpus.Extracting:
			r.nextGeneration(corpus.Accepted)
			return s.save(ctx, tx, r)
		case corpus.Embedding, corpus.Indexed:
		}
		return s.embedAgain(ctx, tx, r)
	})
	if err != nil {
		return corpus.Document{}, err
	}
	return r.Document, nil
}

// embedAgain opens every batch of a document's chunks, or has it extracted
// again when some are not stored.
func (s *Store) embedAgain(ctx context.Context, tx *sqldb.Tx, r *row) error {
	x := catalog.Extraction{MediaType: r.MediaType, Title: r.foundTitle, Chunks: r.Chunks, Pages: r.Pages, Warnings: r.Warnings}
	var stored int
	if _, err := tx.One(ctx, countChunks, []any{r.Tenant, r.ID, r.SHA256, x.Chunks}, &stored); err != nil {
		return fmt.Errorf("count chunks: %w", err)
	}
	r.nextGeneration(corpus.Accepted)
	if stored != x.Chunks || stored == 0 {
		return s.save(ctx, tx, r)
	}
	return s.plan(ctx, tx, r, x)
}
