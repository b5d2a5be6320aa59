package embeddedvector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// write runs rows in a transaction and, when that is committed, show: a step
// in memory that cannot fail. The writer's connection is held over both, so
// that memory changes in the order of the commits.
func (s *Store) write(ctx context.Context, what string, rows func(*sql.Tx) error, show func()) error {
	if err := s.awaitLoaded(ctx); err != nil {
		return err
	}
	conn, err := s.writer.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = conn.Close() }()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := rows(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			s.log.WarnContext(ctx, "a write to the vector index could not be rolled back", slog.Any("error", rollback))
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	show()
	return nil
}

func nothing() {}

// Upsert implements [vector.Store]. Points of the version that is live
// already are seen from its next activation or the next start on.
func (s *Store) Upsert(ctx context.Context, doc vector.Document, points []vector.Point) error {
	if err := checkDocument(doc); err != nil {
		return err
	}
	encoded, err := s.encode(points)
	if err != nil {
		return err
	}
	return s.write(ctx, "upsert points", func(tx *sql.Tx) error {
		key, err := fence(ctx, tx, doc)
		if err != nil {
			return err
		}
		var version int64
		err = tx.QueryRowContext(ctx, `insert into version (document, version, revision) values (?, ?, 1)
			on conflict (document, version) do update set revision = revision + 1 returning key`, key, doc.Version).Scan(&version)
		if err != nil {
			return fmt.Errorf("note the version: %w", err)
		}
		return insertChunks(ctx, tx, version, doc.Generation, encoded)
	}, nothing)
}

func checkDocument(doc vector.Document) error {
	for _, id := range []struct{ field, value string }{
		{"tenant", doc.Tenant}, {"collection", doc.Collection}, {"id", doc.ID}, {"version", doc.Version},
	} {
		if err := corpus.CheckToken(id.field, id.value); err != nil {
			return fmt.Errorf("check the document: %w", err)
		}
	}
	return nil
}

// encode analyses and packs points. Nothing is written unless all are valid.
func (s *Store) encode(points []vector.Point) ([]row, error) {
	rows := make([]row, len(points))
	for i, p := range points {
		if p.Ordinal < 0 || p.Ordinal > maxOrdinal {
			return nil, fault.Invalidf("invalid_ordinal", "the ordinal %d is not in 0 to %d", p.Ordinal, maxOrdinal).WithField("ordinal")
		}
		if p.Dense != nil {
			if err := checkVector("dense", p.Dense, s.cfg.Dimensions); err != nil {
				return nil, err
			}
		}
		a := s.words.Analyze(p.Text)
		rows[i] = row{
			ordinal: uint32(p.Ordinal), language: a.Language, length: a.Length, words: a.Words, english: a.EnglishWords,
			terms: encodeTerms(a.Terms), dense: encodeVector(p.Dense),
		}
	}
	return rows, nil
}

func insertChunks(ctx context.Context, tx *sql.Tx, version, generation int64, rows []row) error {
	insert, err := tx.PrepareContext(ctx, `insert or replace into chunk
		(key, generation, language, length, words, english, terms, dense) values (?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { _ = insert.Close() }()
	for _, r := range rows {
		_, err := insert.ExecContext(ctx, version<<ordinalBits|int64(r.ordinal), generation,
			int(r.language), r.length, r.words, r.english, r.terms, r.dense)
		if err != nil {
			return fmt.Errorf("write a chunk: %w", err)
		}
	}
	return nil
}

// fence refuses a late writer, notes the generation and returns the document's key.
func fence(ctx context.Context, tx *sql.Tx, doc vector.Document) (int64, error) {
	var key, generation, deleted int64
	err := tx.QueryRowContext(ctx, `select key, generation, deleted from document where tenant = ? and id = ?`,
		doc.Tenant, doc.ID).Scan(&key, &generation, &deleted)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = tx.QueryRowContext(ctx, `insert into document (tenant, id, generation) values (?, ?, ?) returning key`,
			doc.Tenant, doc.ID, doc.Generation).Scan(&key)
		if err != nil {
			return 0, fmt.Errorf("note the document: %w", err)
		}
		return key, nil
	case err != nil:
		return 0, fmt.Errorf("read the document: %w", err)
	case doc.Generation < generation || doc.Generation <= deleted:
		return 0, fault.As(fault.Permanent, vector.ErrStale)
	case doc.Generation > generation:
		if _, err := tx.ExecContext(ctx, `update document set generation = ? where key = ?`, doc.Generation, key); err != nil {
			return 0, fmt.Errorf("note the generation: %w", err)
		}
	}
	return key, nil
}

// errRevised means that points were written while an activation read them.
var errRevised = errors.New("the version's points changed")

// Activate implements [vector.Store]. The segment is built before the write
// lock is taken; should points arrive meanwhile, it is built again.
func (s *Store) Activate(ctx context.Context, doc vector.Document) error {
	if err := checkDocument(doc); err != nil {
		return err
	}
	text, attributes, err := encodeAttributes(doc)
	if err != nil {
		return err
	}
	if err := s.awaitLoaded(ctx); err != nil {
		return err
	}
	for range 5 {
		err = s.activate(ctx, doc, text, attributes)
		if !errors.Is(err, errRevised) {
			return err
		}
	}
	return err
}

func (s *Store) activate(ctx context.Context, doc vector.Document, text string, a *attributes) error {
	seg, revision, err := s.readVersion(ctx, doc, a)
	if err != nil {
		return fmt.Errorf("activate a version: %w", err)
	}
	t := s.tenant(doc.Tenant)
	err = s.write(ctx, "activate a version", func(tx *sql.Tx) error {
		key, err := fence(ctx, tx, doc)
		if err != nil {
			return err
		}
		var version, now int64
		err = tx.QueryRowContext(ctx, `insert into version (document, version) values (?, ?)
			on conflict (document, version) do update set version = excluded.version returning key, revision`, key, doc.Version).Scan(&version, &now)
		if err != nil {
			return fmt.Errorf("find the version: %w", err)
		}
		if now != revision {
			return errRevised
		}
		_, err = tx.ExecContext(ctx, `update document set live = ?, live_generation = ?, collection = ?, attributes = ? where key = ?`,
			version, doc.Generation, doc.Collection, text, key)
		return err
	}, func() { t.show(doc.Collection, seg) })
	if err != nil {
		return err
	}
	s.merges.add(place{doc.Tenant, doc.Collection})
	s.warnWhenLarge(ctx)
	return nil
}

// SetAttributes implements [vector.Store].
func (s *Store) SetAttributes(ctx context.Context, doc vector.Document) error {
	text, a, err := encodeAttributes(doc)
	if err != nil {
		return err
	}
	return s.write(ctx, "set attributes", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `update document set attributes = ? where tenant = ? and id = ?`, text, doc.Tenant, doc.ID)
		return err
	}, func() {
		if t := s.knownTenant(doc.Tenant); t != nil {
			t.describe(doc.ID, a)
		}
	})
}

// Sweep implements [vector.Store].
func (s *Store) Sweep(ctx context.Context, doc vector.Document) error {
	if err := corpus.CheckToken("version", doc.Version); err != nil {
		return fmt.Errorf("check the document: %w", err)
	}
	hidden := false
	return s.write(ctx, "sweep old versions", func(tx *sql.Tx) error {
		key, err := fence(ctx, tx, doc)
		if err != nil {
			return err
		}
		stale, err := keys(ctx, tx, `select key from version where document = ? and version <> ?`, key, doc.Version)
		if err != nil {
			return err
		}
		for _, version := range stale {
			gone, err := tx.ExecContext(ctx, `update document set live = null where key = ? and live = ?`, key, version)
			if err != nil {
				return fmt.Errorf("darken a version: %w", err)
			}
			n, err := gone.RowsAffected()
			if err != nil {
				return fmt.Errorf("darken a version: %w", err)
			}
			hidden = hidden || n > 0
			if err := removeVersion(ctx, tx, version); err != nil {
				return err
			}
		}
		return nil
	}, func() {
		if hidden {
			s.hide(doc.Tenant, doc.ID)
		}
	})
}

// Delete implements [vector.Store]. What a newer generation has written
// already stays: then it is the deletion that is late.
func (s *Store) Delete(ctx context.Context, tenant, document string, generation int64) error {
	if err := errors.Join(corpus.CheckToken("tenant", tenant), corpus.CheckToken("id", document)); err != nil {
		return fmt.Errorf("check the document: %w", fault.As(fault.Invalid, err))
	}
	hidden := false
	return s.write(ctx, "delete a document", func(tx *sql.Tx) error {
		var key, liveGeneration int64
		var live sql.NullInt64
		err := tx.QueryRowContext(ctx, `insert into document (tenant, id, generation, deleted) values (?, ?, ?, ?)
			on conflict (tenant, id) do update set generation = max(generation, excluded.generation), deleted = max(deleted, excluded.deleted)
			returning key, live, live_generation`, tenant, document, generation, generation).Scan(&key, &live, &liveGeneration)
		if err != nil {
			return fmt.Errorf("write the tombstone: %w", err)
		}
		if live.Valid && liveGeneration <= generation {
			hidden = true
			if _, err := tx.ExecContext(ctx, `update document set live = null, attributes = '{"acl":[]}' where key = ?`, key); err != nil {
				return fmt.Errorf("darken the document: %w", err)
			}
		}
		versions, err := keys(ctx, tx, `select v.key from version v join document d on d.key = v.document
			where d.key = ? and (d.live is null or d.live <> v.key)`, key)
		if err != nil {
			return err
		}
		for _, version := range versions {
			if err := removeUpTo(ctx, tx, version, generation); err != nil {
				return err
			}
		}
		return nil
	}, func() {
		if hidden {
			s.hide(tenant, document)
		}
	})
}

func (s *Store) hide(tenant, document string) {
	t := s.knownTenant(tenant)
	if t == nil {
		return
	}
	if collection, ok := t.hide(document); ok {
		s.merges.add(place{tenant, collection})
	}
}

// Count implements [vector.Store].
func (s *Store) Count(ctx context.Context, tenant, document, version string) (int, error) {
	if s.closed.Load() {
		return 0, errClosed()
	}
	n := 0
	err := s.reader.QueryRowContext(ctx, `select count(*) from document d join version v on v.document = d.key
		join chunk c on c.key between v.key << ? and v.key << ? | ?
		where d.tenant = ? and d.id = ? and v.version = ?`, ordinalBits, ordinalBits, maxOrdinal, tenant, document, version).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the points of a version: %w", err)
	}
	return n, nil
}

func keys(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]int64, error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []int64
	for rows.Next() {
		var key int64
		if err := rows.Scan(&key); err != nil {
			return nil, fmt.Errorf("list versions: %w", err)
		}
		out = append(out, key)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	return out, nil
}

func removeVersion(ctx context.Context, tx *sql.Tx, version int64) error {
	if _, err := tx.ExecContext(ctx, `delete from chunk where key between ? and ?`, version<<ordinalBits, version<<ordinalBits|maxOrdinal); err != nil {
		return fmt.Errorf("remove points: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `delete from version where key = ?`, version); err != nil {
		return fmt.Errorf("remove a version: %w", err)
	}
	return nil
}

// removeUpTo removes what was written up to a generation, and the version if nothing is left.
func removeUpTo(ctx context.Context, tx *sql.Tx, version, generation int64) error {
	first, last := version<<ordinalBits, version<<ordinalBits|maxOrdinal
	if _, err := tx.ExecContext(ctx, `delete from chunk where key between ? and ? and generation <= ?`, first, last, generation); err != nil {
		return fmt.Errorf("remove points: %w", err)
	}
	_, err := tx.ExecContext(ctx, `update version set revision = revision + 1 where key = ?`, version)
	if err != nil {
		return fmt.Errorf("note the removal: %w", err)
	}
	_, err = tx.ExecContext(ctx, `delete from version where key = ? and not exists (select 1 from chunk where key between ? and ?)`, version, first, last)
	if err != nil {
		return fmt.Errorf("remove a version: %w", err)
	}
	return nil
}
