package sqlcatalog_test

import (
	"context"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/catalogtest"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

var postgres postgrestest.Server

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

func open(tb testing.TB) *sqlcatalog.Store {
	tb.Helper()
	return openFile(tb, filepath.Join(tb.TempDir(), "catalog.db"))
}

func openFile(tb testing.TB, path string) *sqlcatalog.Store {
	tb.Helper()
	return openURL(tb, sqldb.FileURL(path))
}

func openURL(tb testing.TB, url string) *sqlcatalog.Store {
	tb.Helper()
	db, err := sqldb.Open(tb.Context(), sqldb.Config{URL: url})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	store, err := sqlcatalog.Open(tb.Context(), db)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

func TestContract(t *testing.T) {
	t.Parallel()
	catalogtest.Run(t, func(t *testing.T) catalogtest.Store { return open(t) })
}

// twoProcesses writes with one store and searches with another on the same
// database, which share no memory.
type twoProcesses struct {
	*sqlcatalog.Store

	searches *sqlcatalog.Store
}

func (p twoProcesses) Find(ctx context.Context, scope corpus.Scope, refs []corpus.ChunkRef) ([]catalog.Found, error) {
	return p.searches.Find(ctx, scope, refs)
}

func TestSearchesOfAnotherProcess(t *testing.T) {
	t.Parallel()
	catalogtest.RunSearches(t, func(t *testing.T) catalogtest.Store {
		t.Helper()
		path := filepath.Join(t.TempDir(), "catalog.db")
		return twoProcesses{Store: openFile(t, path), searches: openFile(t, path)}
	})
}

// On Postgres one process prepares its statements, and the other speaks as
// through a pooler.
func TestContractOnPostgres(t *testing.T) {
	t.Parallel()
	catalogtest.Run(t, func(t *testing.T) catalogtest.Store {
		t.Helper()
		url := postgres.Emptied(t)
		return twoProcesses{Store: openURL(t, url), searches: openURL(t, url+"&pgbouncer=true")}
	})
}
