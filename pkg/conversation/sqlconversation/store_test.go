package sqlconversation_test

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/conversation/conversationtest"
	"github.com/ragbus/ragbus/pkg/conversation/sqlconversation"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

var postgres postgrestest.Server

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

func openDB(tb testing.TB) *sqldb.DB {
	tb.Helper()
	return openURL(tb, sqldb.FileURL(filepath.Join(tb.TempDir(), "ragbus.db")))
}

func openURL(tb testing.TB, url string) *sqldb.DB {
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
	return db
}

func open(tb testing.TB) *sqlconversation.Store {
	tb.Helper()
	return openOn(tb, openDB(tb))
}

func openOn(tb testing.TB, db *sqldb.DB) *sqlconversation.Store {
	tb.Helper()
	store, err := sqlconversation.Open(tb.Context(), db)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

func TestContract(t *testing.T) {
	t.Parallel()
	conversationtest.Run(t, func(t *testing.T) conversation.Store { return open(t) })
}

func TestContractOnPostgres(t *testing.T) {
	t.Parallel()
	for mode, parameter := range map[string]string{"prepared": "", "simple protocol": "&default_query_exec_mode=simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			conversationtest.Run(t, func(t *testing.T) conversation.Store {
				t.Helper()
				return openOn(t, openURL(t, postgres.Emptied(t)+parameter))
			})
		})
	}
}

func TestTheCatalogMayShareTheDatabase(t *testing.T) {
	t.Parallel()
	db := openDB(t)
	for range 2 {
		openBoth(t, db)
	}
}

func openBoth(t *testing.T, db *sqldb.DB) {
	t.Helper()
	if _, err := sqlconversation.Open(t.Context(), db); err != nil {
		t.Error(err)
	}
	if _, err := sqlcatalog.Open(t.Context(), db); err != nil {
		t.Error(err)
	}
}

func TestTenReplicasStartTogether(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	var wg sync.WaitGroup
	for range 10 {
		db := openURL(t, url)
		wg.Go(func() { openBoth(t, db) })
	}
	wg.Wait()
	tables := postgrestest.CheckTables(t, url)
	for _, want := range []string{"conversations", "turns", "documents", "chunks"} {
		if !slices.Contains(tables, want) {
			t.Errorf("%s is not among the tables with tenants: %v", want, tables)
		}
	}
}
