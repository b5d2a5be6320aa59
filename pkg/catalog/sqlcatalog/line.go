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

//go:embed line/*.sql
var lineMigrations embed.FS

// parked is how long work that waits counts as moved. Programs of before do
// not look into the line: after it, their sweep finds the document too.
const parked = 24 * time.Hour

// The time of a place is greater than all before it in the same line, for as
// long as the clocks of its writers agree; where they do not, order suffers
// and nothing else.
const (
	joinLine = `insert into line (tenant, step, document, number, next, salt, since) values ($1, $2, $3, $4, $5, $6, $7)
		on conflict (tenant, step, document) do update set
		next = case when excluded.number > line.number or excluded.next < line.next then excluded.next else line.next end,
		salt = case when excluded.salt = '' and excluded.number = line.number then line.salt else excluded.salt end,
		number = excluded.number
		where excluded.number >= line.number`
	// since > 0 holds always, and names the index to Postgres.
	selectLine  = "select document, number, next, salt, since from line where tenant = $1 and step = $2 and since > 0 order by since, document limit $3"
	leaveLine   = "delete from line where tenant = $1 and step = $2 and document = $3 and number = $4 and next = $5 and salt = $6"
	advanceLine = "update line set next = $7 where tenant = $1 and step = $2 and document = $3 and number = $4 and next = $5 and salt = $6 and next < $7"
	// Each line is found with one look at the index, however long it is.
	nextLine = "select tenant, step from line where (tenant, step) > ($1, $2) order by tenant, step limit 1"

	lineLengths = "select step, count(*), min(since) from line group by step order by step"

	// A settled document's moved_at is later than any place to park.
	parkDocument   = "update documents set moved_at = $4 where tenant = $1 and id = $2 and generation = $3 and moved_at < $4"
	unparkDocument = "update documents set moved_at = $4 where tenant = $1 and id = $2 and generation = $3 and moved_at > $4 and moved_at < $5"
	parkChange     = "update attribute_changes set emitted_at = $4 where tenant = $1 and document = $2 and revision <= $3 and emitted_at < $4"
	unparkChange   = "update attribute_changes set emitted_at = $4 where tenant = $1 and document = $2 and revision <= $3 and emitted_at > $4"

	selectOpenFrom = `select number, first_ordinal, end_ordinal from batches
		where tenant = $1 and document = $2 and generation = $3 and done = 0 and number >= $4 order by number limit $5`
)

// Wait implements [catalog.Line].
func (s *Store) Wait(ctx context.Context, t catalog.Turn) error {
	if err := corpus.CheckToken("id", t.ID); err != nil {
		return err
	}
	err := s.db.Tenant(t.Tenant).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		now := s.now()
		until := now.Add(parked).UnixMicro()
		// The document first: that is the order in which all writes lock.
		park := parkDocument
		if t.Step == catalog.Describe {
			park = parkChange
		}
		if _, err := tx.Exec(ctx, park, t.Tenant, t.ID, t.Number, until); err != nil {
			return fmt.Errorf("park: %w", err)
		}
		_, err := tx.Exec(ctx, joinLine, t.Tenant, string(t.Step), t.ID, t.Number, t.Next, t.Salt, now.UnixMicro())
		return err
	})
	return wrap("stand in line", err)
}

// Waiting implements [catalog.Line].
func (s *Store) Waiting(ctx context.Context, tenant string, step catalog.Step, limit int) ([]catalog.Turn, error) {
	var turns []catalog.Turn
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		turns = nil
		return tx.Each(ctx, selectLine, []any{tenant, string(step), clampLimit(limit)}, func(scan func(...any) error) error {
			t := catalog.Turn{Tenant: tenant, Step: step}
			var since int64
			if err := scan(&t.ID, &t.Number, &t.Next, &t.Salt, &since); err != nil {
				return fmt.Errorf("read a turn: %w", err)
			}
			t.Since = fromMicros(since)
			turns = append(turns, t)
			return nil
		})
	})
	return turns, wrap("look who stands in line", err)
}

// GivenOut implements [catalog.Line].
func (s *Store) GivenOut(ctx context.Context, turns []catalog.Turn) error {
	if len(turns) == 0 {
		return nil
	}
	err := s.db.Tenant(turns[0].Tenant).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		var documents, changes, places [][]any
		now := s.now().UnixMicro()
		for _, t := range turns {
			places = append(places, []any{t.Tenant, string(t.Step), t.ID, t.Number, t.Next, t.Salt})
			if t.Step == catalog.Describe {
				changes = append(changes, []any{t.Tenant, t.ID, t.Number, now})
				continue
			}
			documents = append(documents, []any{t.Tenant, t.ID, t.Number, now, int64(never)})
		}
		if err := tx.ExecAll(ctx, unparkDocument, documents); err != nil {
			return fmt.Errorf("unpark documents: %w", err)
		}
		if err := tx.ExecAll(ctx, unparkChange, changes); err != nil {
			return fmt.Errorf("unpark changes: %w", err)
		}
		return tx.ExecAll(ctx, leaveLine, places)
	})
	return wrap("leave the line", err)
}

// Advance implements [catalog.Line].
func (s *Store) Advance(ctx context.Context, t catalog.Turn, next int) error {
	err := s.db.Tenant(t.Tenant).Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, advanceLine, t.Tenant, string(t.Step), t.ID, t.Number, t.Next, t.Salt, next)
		return err
	})
	return wrap("advance in line", err)
}

// Lines implements [catalog.Line].
func (s *Store) Lines(ctx context.Context, afterTenant string, afterStep catalog.Step, limit int) ([]catalog.Turn, error) {
	var lines []catalog.Turn
	err := s.db.AllTenants().Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		lines = nil
		at := catalog.Turn{Tenant: afterTenant, Step: afterStep}
		for range clampLimit(limit) {
			found, err := tx.One(ctx, nextLine, []any{at.Tenant, string(at.Step)}, &at.Tenant, &at.Step)
			if err != nil || !found {
				return err
			}
			lines = append(lines, at)
		}
		return nil
	})
	return lines, wrap("look which lines there are", err)
}

// Lengths implements [catalog.Line].
func (s *Store) Lengths(ctx context.Context) ([]catalog.LineLength, error) {
	var lengths []catalog.LineLength
	err := s.db.AllTenants().Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		lengths = nil
		return tx.Each(ctx, lineLengths, nil, func(scan func(...any) error) error {
			var l catalog.LineLength
			var since int64
			if err := scan(&l.Step, &l.Documents, &since); err != nil {
				return fmt.Errorf("read the length of a line: %w", err)
			}
			l.Since = fromMicros(since)
			lengths = append(lengths, l)
			return nil
		})
	})
	return lengths, wrap("measure the lines", err)
}

// OpenFrom implements [catalog.Line].
func (s *Store) OpenFrom(ctx context.Context, ref catalog.Ref, next, limit int) (doc corpus.Document, open []catalog.Batch, err error) {
	err = s.db.Tenant(ref.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := fenced(ctx, tx, ref, corpus.Embedding)
		if err != nil {
			return err
		}
		doc = r.Document
		open, err = readBatches(ctx, tx, selectOpenFrom, r.Tenant, r.ID, r.Generation, next, clampLimit(limit))
		return err
	})
	return doc, open, wrap("list open batches", err)
}
