package sqlcatalog_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/catalog/catalogtest"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB) *sqlcatalog.Store {
	tb.Helper()
	db, err := sqldb.Open(tb.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(tb.TempDir(), "catalog.db"))})
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
