package embeddedvector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
)

// layout is the version of the tables below.
const layout = 1

// ordinalBits of a chunk's key are its ordinal; the rest is the key of its
// version. So a version's chunks lie together, in order, without an index.
const (
	ordinalBits = 20
	maxOrdinal  = 1<<ordinalBits - 1
)

// A document's row outlives its points: it is the fence and the tombstone.
// generation is the newest seen, deleted the newest that was deleted (-1: never).
// live is the key of the live version, null when there is none.
const tables = `
create table if not exists setting (name text primary key, value text not null) without rowid;
create table if not exists document (
	key integer primary key,
	tenant text not null,
	id text not null,
	collection text not null default '',
	generation integer not null,
	deleted integer not null default -1,
	live integer,
	live_generation integer not null default -1,
	attributes text not null default '{"acl":[]}',
	unique (tenant, id));
create table if not exists version (
	key integer primary key autoincrement,
	document integer not null references document (key),
	version text not null,
	revision integer not null default 0,
	unique (document, version));
create table if not exists chunk (
	key integer primary key,
	generation integer not null,
	language integer not null,
	length integer not null,
	words integer not null,
	english integer not null,
	terms blob not null,
	dense blob);
`

// dataSource returns the DSN of the database file. Transactions take the
// write lock when they begin, or two of them that read first would fail;
// synchronous=normal loses nothing with the process and keeps the file whole
// in a power cut, which may cost the last commits.
func dataSource(path string, readOnly bool) string {
	q := url.Values{}
	q.Set("_txlock", "immediate")
	for _, pragma := range []string{"busy_timeout(5000)", "journal_mode(wal)", "synchronous(normal)", "foreign_keys(1)"} {
		q.Add("_pragma", pragma)
	}
	if readOnly {
		// Readers read each version once, from beginning to end.
		q.Add("_pragma", "query_only(1)")
		q.Add("_pragma", "cache_size(-500)")
	} else {
		q.Add("_pragma", "cache_size(-8000)")
	}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// prepare creates the tables, or checks that the file holds an index of this
// space, layout and analysis.
func prepare(ctx context.Context, db *sql.DB, cfg Config) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open the vector index: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, tables); err != nil {
		return fmt.Errorf("create the tables of the vector index: %w", err)
	}
	for _, s := range []struct{ name, value string }{
		{"layout", strconv.Itoa(layout)},
		{"analysis", strconv.Itoa(lexical.Version)},
		{"profile", cfg.ProfileKey},
		{"dimensions", strconv.Itoa(cfg.Dimensions)},
	} {
		if err := settle(ctx, tx, s.name, s.value, cfg.Path); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("create the tables of the vector index: %w", err)
	}
	return nil
}

func settle(ctx context.Context, tx *sql.Tx, name, value, path string) error {
	var stored string
	err := tx.QueryRowContext(ctx, `select value from setting where name = ?`, name).Scan(&stored)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		if _, err := tx.ExecContext(ctx, `insert into setting (name, value) values (?, ?)`, name, value); err != nil {
			return fmt.Errorf("write the settings of the vector index: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("read the settings of the vector index: %w", err)
	case stored != value:
		return fault.Permanentf("index_profile_mismatch",
			"the vector index %s was written with %s %q and cannot be used with %q: set the embedder back, or move the file away and index the documents again", path, name, stored, value)
	}
	return nil
}
