package sqldb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// migration is one file: 0001_name.sql.
type migration struct {
	version  int64
	name     string
	text     string
	checksum string
}

const createMigrations = `create table if not exists schema_migrations (
	component  text not null,
	version    bigint not null,
	name       text not null,
	checksum   text not null,
	applied_at bigint not null,
	primary key (component, version)
)`

// Migrate brings the tables of one component up to date: it applies, in order
// and each in one transaction, the files *.sql of dir in files that the
// database has not seen. Files are named 0001_what.sql, 0002_….sql without a
// gap, and never change once released: a changed one is refused, and so is a
// database that a newer program has migrated. Processes that start together
// wait for each other. Migrating again does nothing.
func (db *DB) Migrate(ctx context.Context, component string, files fs.FS, dir string) error {
	migrations, err := readMigrations(files, dir)
	if err != nil {
		return fmt.Errorf("read migrations of %s: %w", component, err)
	}
	if err := db.Write(ctx, func(ctx context.Context, tx *Tx) error { return tx.script(ctx, createMigrations) }); err != nil {
		return fmt.Errorf("create the table of migrations: %w", err)
	}
	applied := 0
	err = db.Read(ctx, func(ctx context.Context, tx *Tx) error {
		applied, err = verifyApplied(ctx, tx, component, migrations)
		return err
	})
	if err != nil {
		return err
	}
	for applied < len(migrations) {
		err := db.WriteSynced(ctx, func(ctx context.Context, tx *Tx) error {
			// Looked at again under the write lock: another process may have been faster.
			var err error
			if applied, err = verifyApplied(ctx, tx, component, migrations); err != nil || applied == len(migrations) {
				return err
			}
			if err := applyMigration(ctx, tx, component, migrations[applied]); err != nil {
				return err
			}
			applied++
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func applyMigration(ctx context.Context, tx *Tx, component string, m migration) error {
	if err := tx.script(ctx, m.text); err != nil {
		return fmt.Errorf("apply migration %s of %s: %w", m.name, component, err)
	}
	_, err := tx.Exec(ctx, "insert into schema_migrations (component, version, name, checksum, applied_at) values ($1, $2, $3, $4, $5)",
		component, m.version, m.name, m.checksum, time.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("record migration %s of %s: %w", m.name, component, err)
	}
	return nil
}

// verifyApplied returns how many migrations the database has, after comparing them.
func verifyApplied(ctx context.Context, tx *Tx, component string, known []migration) (int, error) {
	applied := 0
	err := tx.Each(ctx, "select version, name, checksum from schema_migrations where component = $1 order by version",
		[]any{component}, func(scan func(...any) error) error {
			var version int64
			var name, checksum string
			if err := scan(&version, &name, &checksum); err != nil {
				return fmt.Errorf("read migration: %w", err)
			}
			if applied >= len(known) {
				return fault.Permanentf("database_too_new",
					"the database is newer than this program: it has migration %s of %s; use the program that made it, or a later one", name, component)
			}
			if m := known[applied]; m.version != version || m.checksum != checksum {
				return fault.Permanentf("database_mismatch",
					"migration %s of %s in the database is not the one of this program", name, component)
			}
			applied++
			return nil
		})
	return applied, err
}

func readMigrations(files fs.FS, dir string) ([]migration, error) {
	names, err := fs.Glob(files, dir+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	migrations := make([]migration, 0, len(names))
	for _, path := range names {
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("name %s: a migration is named 0001_what.sql: %w", name, err)
		}
		sum := sha256.Sum256(text)
		migrations = append(migrations, migration{version: version, name: name, text: string(text), checksum: hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(migrations, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i, m := range migrations {
		if m.version != int64(i+1) {
			return nil, fmt.Errorf("migration %s: number %d is missing or there twice", m.name, i+1)
		}
	}
	return migrations, nil
}
