package sqlaccess_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/access/accesstest"
	"github.com/ragbus/ragbus/pkg/access/sqlaccess"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

var postgres postgrestest.Server

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }

func openURL(tb testing.TB, url string) *sqlaccess.Store {
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
	store, err := sqlaccess.Open(tb.Context(), db)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

func openFile(tb testing.TB) *sqlaccess.Store {
	tb.Helper()
	return openURL(tb, sqldb.FileURL(filepath.Join(tb.TempDir(), "ragbus.db")))
}

func TestContract(t *testing.T) {
	t.Parallel()
	accesstest.Run(t, func(t *testing.T) accesstest.Store { return openFile(t) })
}

func TestContractOnPostgres(t *testing.T) {
	t.Parallel()
	for mode, parameter := range map[string]string{"prepared": "", "simple protocol": "&default_query_exec_mode=simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			accesstest.Run(t, func(t *testing.T) accesstest.Store {
				t.Helper()
				return openURL(t, postgres.Emptied(t)+parameter)
			})
		})
	}
}

func TestRowLevelSecurityPartsTenants(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := openURL(t, url)
	for _, tenant := range []string{"acme", "other"} {
		k, d, _, err := access.Issue(access.Key{Tenant: tenant, Name: "n", Scopes: access.NewScopes(access.Chat)}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Create(t.Context(), k, d); err != nil {
			t.Fatal(err)
		}
		if err := s.Charge(t.Context(), access.Charge{Tenant: tenant, Account: k.ID, Request: "r", Tokens: 1, At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	if tables := strings.Join(postgrestest.CheckTables(t, url), " "); tables != "api_keys token_charges token_usage" {
		t.Errorf("tables with tenants: %s", tables)
	}
	for table, insert := range map[string]string{
		"api_keys":      "insert into api_keys values ('x', 'third', 'n', 'o', '[]', '[]', 0, 0, '', 1, 0, 0, 0)",
		"token_usage":   "insert into token_usage values ('third', 'a', 1, 1)",
		"token_charges": "insert into token_charges values ('third', 'a', 1, 'r', 1)",
	} {
		postgrestest.CheckWall(t, url, table, "acme", insert)
	}
}

func TestReplicasStartTogether(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	var wg sync.WaitGroup
	for range 5 {
		db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if _, err := sqlaccess.Open(t.Context(), db); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
