package embeddedvector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

var _ vector.Index = (*Store)(nil)

// Inspect implements [vector.Inspector].
func (s *Store) Inspect(ctx context.Context, tenant, document string) (vector.State, error) {
	if s.closed.Load() {
		return vector.State{}, errClosed()
	}
	var (
		out       vector.State
		key, live sql.NullInt64
		text      string
	)
	err := s.reader.QueryRowContext(ctx, `select key, generation, deleted, live, collection, attributes from document where tenant = ? and id = ?`,
		tenant, document).Scan(&key, &out.Generation, &out.Deleted, &live, &out.Collection, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return vector.State{}, nil
	}
	if err != nil {
		return vector.State{}, fmt.Errorf("inspect a document: %w", err)
	}
	out.Deleted = max(out.Deleted, 0)
	if live.Valid {
		a, err := decodeAttributes(text)
		if err != nil {
			return vector.State{}, err
		}
		out.ACL, out.Metadata = a.acl, a.metadata
	}
	out.Points = make(map[string]int)
	rows, err := s.reader.QueryContext(ctx, `select v.key, v.version, (select count(*) from chunk c where c.key between v.key << ? and v.key << ? | ?)
		from version v where v.document = ?`, ordinalBits, ordinalBits, maxOrdinal, key.Int64)
	if err != nil {
		return vector.State{}, fmt.Errorf("inspect the versions of a document: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			version int64
			name    string
			n       int
		)
		if err := rows.Scan(&version, &name, &n); err != nil {
			return vector.State{}, fmt.Errorf("inspect a version: %w", err)
		}
		if n > 0 {
			out.Points[name] = n
		}
		if live.Valid && live.Int64 == version {
			out.Live = name
		}
	}
	if err := rows.Err(); err != nil {
		return vector.State{}, fmt.Errorf("inspect the versions of a document: %w", err)
	}
	return out, nil
}

// Walk implements [vector.Inspector]: versions in the order in which they were
// first written, each met once.
func (s *Store) Walk(ctx context.Context, from string, limit int) ([]vector.Holding, string, error) {
	if s.closed.Load() {
		return nil, "", errClosed()
	}
	after := int64(0)
	if from != "" {
		var err error
		if after, err = strconv.ParseInt(from, 10, 64); err != nil {
			return nil, "", fault.Invalidf("invalid_cursor", "the place to go on from is not one of this index").WithField("from")
		}
	}
	limit = max(limit, 1)
	rows, err := s.reader.QueryContext(ctx, `select v.key, d.tenant, d.id, v.version, (select count(*) from chunk c where c.key between v.key << ? and v.key << ? | ?)
		from version v join document d on d.key = v.document where v.key > ? order by v.key limit ?`, ordinalBits, ordinalBits, maxOrdinal, after, limit)
	if err != nil {
		return nil, "", fmt.Errorf("walk the index: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var part []vector.Holding
	met := 0
	for rows.Next() {
		var h vector.Holding
		if err := rows.Scan(&after, &h.Tenant, &h.Document, &h.Version, &h.Points); err != nil {
			return nil, "", fmt.Errorf("walk the index: %w", err)
		}
		if met++; h.Points > 0 {
			part = append(part, h)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("walk the index: %w", err)
	}
	if met < limit {
		return part, "", nil
	}
	return part, strconv.FormatInt(after, 10), nil
}

// Forget implements [vector.Inspector].
func (s *Store) Forget(ctx context.Context, tenant, document string, generation int64) error {
	if err := errors.Join(corpus.CheckToken("tenant", tenant), corpus.CheckToken("id", document)); err != nil {
		return fmt.Errorf("check the document: %w", fault.As(fault.Invalid, err))
	}
	forgotten := false
	return s.write(ctx, "forget a document", func(tx *sql.Tx) error {
		var key int64
		err := tx.QueryRowContext(ctx, `select key from document where tenant = ? and id = ? and generation <= ?`, tenant, document, generation).Scan(&key)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the document: %w", err)
		}
		versions, err := keys(ctx, tx, `select key from version where document = ?`, key)
		if err != nil {
			return err
		}
		for _, version := range versions {
			if err := removeVersion(ctx, tx, version); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `delete from document where key = ?`, key); err != nil {
			return fmt.Errorf("remove the document: %w", err)
		}
		forgotten = true
		return nil
	}, func() {
		if forgotten {
			s.hide(tenant, document)
		}
	})
}
