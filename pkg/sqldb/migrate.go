package sqldb

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
)

// migration is one step: 0001_name.sql, and what one product adds to it.
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
// gap, and never change once released: a changed one is refused. What only one
// product needs is in a file beside it, 0001_what.postgres.sql or
// 0001_what.sqlite.sql, which runs after it in the same transaction.
//
// Processes that start together wait for each other, in any number; one that
// finds everything done needs no right to change tables. Migrating again does
// nothing.
//
// While a fleet is replaced, programs run on a database that a later one has
// migrated. A migration says in its name who may:
//
//   - 0007_what.expand.sql adds what earlier programs do not notice (a table,
//     an index, a column with a default): all of them may;
//   - 0008_what.contract-0007.sql takes away what programs no longer use that
//     know migration 7: those may;
//   - 0009_what.sql: only programs that know it. Others are refused.
func (db *DB) Migrate(ctx context.Context, component string, files fs.FS, dir string) error {
	migrations, err := readMigrations(files, dir, db.engine.dialect().suffix)
	if err != nil {
		return fmt.Errorf("read migrations of %s: %w", component, err)
	}
	everything := db.AllTenants()
	everything.bounds.patient = true
	applied := 0
	err = everything.Read(ctx, func(ctx context.Context, tx *Tx) error {
		applied, err = db.verifyApplied(ctx, tx, component, migrations)
		return err
	})
	if err != nil {
		return err
	}
	turn := everything.Alone("schema_migrations", "")
	for applied < len(migrations) {
		err := turn.WriteSynced(ctx, func(ctx context.Context, tx *Tx) error {
			// Looked at again when it is our turn: another process may have been faster.
			var err error
			if applied, err = db.verifyApplied(ctx, tx, component, migrations); err != nil || applied == len(migrations) {
				return err
			}
			if err := tx.script(ctx, createMigrations); err != nil {
				return fmt.Errorf("create the table of migrations: %w", err)
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

// Migration is one that the database has.
type Migration struct {
	Component string
	// Name is its file's.
	Name      string
	AppliedAt time.Time
}

// Migrations returns what the database has, by component and in order; none
// of a database that was never migrated.
func (db *DB) Migrations(ctx context.Context) ([]Migration, error) {
	var list []Migration
	err := db.Read(ctx, func(ctx context.Context, tx *Tx) error {
		if found, err := db.wasMigrated(ctx, tx); err != nil || !found {
			return err
		}
		return tx.Each(ctx, "select component, name, applied_at from schema_migrations order by component, version", nil,
			func(scan func(...any) error) error {
				var (
					m  Migration
					at int64
				)
				if err := scan(&m.Component, &m.Name, &at); err != nil {
					return fmt.Errorf("read migration: %w", err)
				}
				m.AppliedAt = time.UnixMicro(at).UTC()
				list = append(list, m)
				return nil
			})
	})
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	return list, nil
}

func (db *DB) wasMigrated(ctx context.Context, tx *Tx) (bool, error) {
	var one int
	return tx.One(ctx, db.engine.dialect().hasTable, []any{"schema_migrations"}, &one)
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

// verifyApplied returns how many of the known migrations the database has,
// after comparing them.
func (db *DB) verifyApplied(ctx context.Context, tx *Tx, component string, known []migration) (int, error) {
	if found, err := db.wasMigrated(ctx, tx); err != nil || !found {
		return 0, err
	}
	applied := 0
	err := tx.Each(ctx, "select version, name, checksum from schema_migrations where component = $1 order by version",
		[]any{component}, func(scan func(...any) error) error {
			var version int64
			var name, checksum string
			if err := scan(&version, &name, &checksum); err != nil {
				return fmt.Errorf("read migration: %w", err)
			}
			if applied >= len(known) {
				if needs(name, version) <= int64(len(known)) {
					return nil
				}
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

// needs returns which migration a program must know to run on a database
// that has the named one.
func needs(name string, version int64) int64 {
	stem := strings.TrimSuffix(name, ".sql")
	if strings.HasSuffix(stem, ".expand") {
		return 0
	}
	if _, least, ok := strings.Cut(stem, ".contract-"); ok {
		if n, err := strconv.ParseInt(least, 10, 64); err == nil {
			return n
		}
	}
	return version
}

// productSuffixes end the files that belong to one product.
var productSuffixes = []string{".postgres.sql", ".sqlite.sql"}

func readMigrations(files fs.FS, dir, suffix string) ([]migration, error) {
	names, err := fs.Glob(files, dir+"/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	migrations := make([]migration, 0, len(names))
	for _, path := range names {
		name := path[strings.LastIndexByte(path, '/')+1:]
		if slices.ContainsFunc(productSuffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			if err := besideAnother(names, path); err != nil {
				return nil, err
			}
			continue
		}
		m, err := readMigration(files, path, name, suffix)
		if err != nil {
			return nil, err
		}
		migrations = append(migrations, m)
	}
	slices.SortFunc(migrations, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i, m := range migrations {
		if m.version != int64(i+1) {
			return nil, fmt.Errorf("migration %s: number %d is missing or there twice", m.name, i+1)
		}
	}
	return migrations, nil
}

// besideAnother refuses a product's file that no migration would take.
func besideAnother(names []string, path string) error {
	for _, suffix := range productSuffixes {
		if stem, ok := strings.CutSuffix(path, suffix); ok && slices.Contains(names, stem+".sql") {
			return nil
		}
	}
	return fmt.Errorf("migration %s: the file that it adds to is missing", path)
}

func readMigration(files fs.FS, path, name, suffix string) (migration, error) {
	text, err := fs.ReadFile(files, path)
	if err != nil {
		return migration{}, fmt.Errorf("read: %w", err)
	}
	number, _, _ := strings.Cut(name, "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return migration{}, fmt.Errorf("name %s: a migration is named 0001_what.sql: %w", name, err)
	}
	if strings.Contains(name, ".contract-") && needs(name, version) >= version {
		return migration{}, fmt.Errorf("name %s: a contraction names an earlier migration, as in 0003_what.contract-0002.sql", name)
	}
	addition, err := fs.ReadFile(files, strings.TrimSuffix(path, ".sql")+suffix)
	switch {
	case err == nil:
		// A comment at the end of the first must not swallow the second.
		text = append(append(text, "\n;\n"...), addition...)
	case !errors.Is(err, fs.ErrNotExist):
		return migration{}, fmt.Errorf("read: %w", err)
	}
	sum := sha256.Sum256(text)
	return migration{version: version, name: name, text: string(text), checksum: hex.EncodeToString(sum[:])}, nil
}
