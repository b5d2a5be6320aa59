package postgrestest

import (
	"context"
	"database/sql"
	"testing"
)

// CheckTables fails the test when a table of the database is not as the
// tables of this program are on Postgres: text that is ordered by its bytes,
// and, where there is a column tenant, row-level security that binds the
// owner too. It returns the tables that have tenants.
func CheckTables(tb testing.TB, databaseURL string) (tenants []string) {
	tb.Helper()
	db := openRaw(tb, databaseURL)
	eachRow(tb, db, `select c.table_name, c.column_name, coalesce(c.collation_name, 'the default') from information_schema.columns c
		where c.table_schema = 'public' and c.data_type = 'text' and c.table_name <> 'schema_migrations' and c.collation_name is distinct from 'C'`,
		func(scan func(...any) error) error {
			var table, column, collation string
			err := scan(&table, &column, &collation)
			tb.Errorf("the order of %s.%s is %s, want that of its bytes", table, column, collation)
			return err
		})
	eachRow(tb, db, `select t.relname, t.relrowsecurity and t.relforcerowsecurity, (select count(*) from pg_policy p where p.polrelid = t.oid)
		from pg_class t join pg_attribute a on a.attrelid = t.oid and a.attname = 'tenant' and not a.attisdropped
		where t.relkind in ('r', 'p') and t.relnamespace = 'public'::regnamespace order by 1`,
		func(scan func(...any) error) error {
			var (
				table    string
				forced   bool
				policies int
			)
			err := scan(&table, &forced, &policies)
			if !forced || policies != 1 {
				tb.Errorf("the table %s has tenants; row-level security is forced: %t, with %d policies", table, forced, policies)
			}
			tenants = append(tenants, table)
			return err
		})
	return tenants
}

// CheckWall fails the test when row-level security does not part tenants: it
// speaks to the database as the role of the URL, around all of our code. The
// table must hold rows of the tenant, and of others. Insert is a statement
// that adds a row of another tenant.
func CheckWall(tb testing.TB, databaseURL, table, tenant, insert string) {
	tb.Helper()
	db := openRaw(tb, databaseURL)
	all := visible(tb, db, table, "select set_config('ragbus.all_tenants', 'true', true)")
	own := visible(tb, db, table, "select set_config('ragbus.tenant', '"+tenant+"', true)")
	if own < 1 || own >= all {
		tb.Fatalf("%s has %d rows, %d of %s: that tells nothing", table, all, own, tenant)
	}
	for what, first := range map[string]string{
		"nothing":                "select 1",
		"an empty tenant":        "select set_config('ragbus.tenant', '', true)",
		"a tenant without rows":  "select set_config('ragbus.tenant', 'never', true)",
		"all tenants, but false": "select set_config('ragbus.all_tenants', 'false', true)",
	} {
		if n := visible(tb, db, table, first); n != 0 {
			tb.Errorf("%s: bound to %s, a transaction sees %d rows", table, what, n)
		}
	}
	for _, statement := range []string{"delete from " + table, "update " + table + " set tenant = tenant"} {
		if n := changed(tb, db, "select set_config('ragbus.tenant', 'never', true)", statement); n != 0 {
			tb.Errorf("%s: %q changes %d rows of others", table, statement, n)
		}
		if n := changed(tb, db, "select set_config('ragbus.tenant', '"+tenant+"', true)", statement); n != own {
			tb.Errorf("%s: %q changes %d rows, want the tenant's own %d", table, statement, n, own)
		}
	}
	for _, first := range []string{"select 1", "select set_config('ragbus.tenant', '" + tenant + "', true)"} {
		if err := try(tb, db, first, insert); err == nil {
			tb.Errorf("%s: after %q a row of another tenant can be inserted", table, first)
		}
	}
	if err := try(tb, db, "select set_config('ragbus.all_tenants', 'true', true)", insert); err != nil {
		tb.Errorf("%s: bound to all tenants: %v", table, err)
	}
}

func openRaw(tb testing.TB, databaseURL string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	// One connection, so that a setting that outlives its transaction is noticed.
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func eachRow(tb testing.TB, db *sql.DB, query string, row func(scan func(...any) error) error) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), query)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			tb.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
}

// within runs first and then do in a transaction that is undone.
func within(tb testing.TB, db *sql.DB, first string, do func(ctx context.Context, tx *sql.Tx) error) error {
	tb.Helper()
	ctx := tb.Context()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := tx.Rollback(); err != nil {
			tb.Error(err)
		}
	}()
	if _, err := tx.ExecContext(ctx, first); err != nil {
		tb.Fatal(err)
	}
	return do(ctx, tx)
}

func visible(tb testing.TB, db *sql.DB, table, first string) (n int64) {
	tb.Helper()
	err := within(tb, db, first, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "select count(*) from "+table).Scan(&n)
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func changed(tb testing.TB, db *sql.DB, first, statement string) (n int64) {
	tb.Helper()
	err := within(tb, db, first, func(ctx context.Context, tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, statement)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	if err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	return n
}

func try(tb testing.TB, db *sql.DB, first, statement string) error {
	tb.Helper()
	return within(tb, db, first, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement)
		return err
	})
}
