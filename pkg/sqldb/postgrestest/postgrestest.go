// Package postgrestest starts a real Postgres for tests: the one that is
// installed on the machine, in a temporary directory, on a free port of the
// loopback address, never as root, without fsync.
//
// A test package keeps one [Server] and stops it at its end:
//
//	var postgres postgrestest.Server
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(postgres.Around(m)) }
//
// and each test gets a database of its own from [Server.Database]. Where
// Postgres is not installed these tests are skipped, unless
// RAGBUS_TEST_REQUIRE names postgres.
//
// The server's default order of text is a dictionary's, as on most managed
// servers and unlike SQLite's, so that tests notice what depends on it.
package postgrestest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// requireVariable lists, separated by commas, the backends without which a
// test run counts as failed.
const requireVariable = "RAGBUS_TEST_REQUIRE"

// Server is one Postgres server. It starts when it is first needed. The zero
// value is ready to use; methods are safe for concurrent use.
type Server struct {
	mu      sync.Mutex
	tried   bool
	failure error
	cluster *cluster
	admin   *sql.DB
	names   atomic.Int64
	// Databases that a test may have: empty ones, and ones with tables without rows.
	empty, emptied []string
}

// Role is the unprivileged role that owns the databases of [Server.Database].
const Role = "ragbus"

// start starts the server once.
func (s *Server) start(ctx context.Context) (*cluster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tried {
		return s.cluster, s.failure
	}
	s.tried = true
	s.cluster, s.failure = s.create(context.WithoutCancel(ctx))
	if s.failure != nil {
		s.stop()
	}
	return s.cluster, s.failure
}

// setUpTime bounds the creation and the start of a server.
const setUpTime = 2 * time.Minute

func (s *Server) create(ctx context.Context) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, setUpTime)
	defer cancel()
	c, err := createCluster(ctx)
	if err != nil {
		return nil, err
	}
	s.cluster = c
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	if s.admin, err = sql.Open("pgx", c.url(superuser, c.password, superuser)); err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	s.admin.SetMaxOpenConns(4)
	var dir string
	if err := s.admin.QueryRowContext(ctx, "show data_directory").Scan(&dir); err != nil {
		return nil, fmt.Errorf("ask the server who it is: %w", err)
	}
	if dir != c.data {
		return nil, fmt.Errorf("the server at port %d is another one's, of %s", c.port, dir)
	}
	_, err = s.admin.ExecContext(ctx, fmt.Sprintf("create role %s login password '%s'", Role, c.password))
	if err != nil {
		return nil, fmt.Errorf("create role: %w", err)
	}
	return c, nil
}

// need returns the running server, or ends the test.
func (s *Server) need(tb testing.TB) *cluster {
	tb.Helper()
	c, err := s.start(tb.Context())
	if err == nil {
		return c
	}
	if required() {
		tb.Fatalf("%s wants Postgres: %v", requireVariable, err)
	}
	tb.Skipf("Postgres is not available: %v", err)
	return nil
}

func required() bool {
	for name := range strings.SplitSeq(os.Getenv(requireVariable), ",") {
		if strings.TrimSpace(name) == "postgres" {
			return true
		}
	}
	return false
}

// Database returns the URL of an empty database, which nobody else has until
// the end of the test. [Role] owns it, which is neither superuser nor allowed
// to bypass row-level security.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	return s.lend(tb, &s.empty, "drop schema if exists public cascade; create schema public authorization "+Role)
}

// Emptied is Database for tests that all make the same tables, as those of a
// contract do: these may be there already, without rows, which saves each
// test most of its time.
func (s *Server) Emptied(tb testing.TB) string {
	tb.Helper()
	return s.lend(tb, &s.emptied, `do $$ declare tables text; begin
		select string_agg(format('%I', tablename), ', ') into tables from pg_tables where schemaname = 'public' and tablename <> 'schema_migrations';
		if tables is not null then execute 'truncate ' || tables; end if;
	end $$`)
}

// lend takes a database from a list, or makes one. At the end of the test
// clean is run in it, and it is put back.
func (s *Server) lend(tb testing.TB, list *[]string, clean string) string {
	tb.Helper()
	c := s.need(tb)
	name := s.take(list)
	if name == "" {
		name = fmt.Sprint("test_", s.names.Add(1))
		s.Admin(tb, "create database "+name+" owner "+Role)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), setUpTime)
		defer cancel()
		if err := cleanUp(ctx, c.url(superuser, c.password, name), clean); err != nil {
			tb.Logf("clean up %s: %v", name, err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		*list = append(*list, name)
	})
	return c.url(Role, c.password, name)
}

func (s *Server) take(list *[]string) (name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(*list); n > 0 {
		name, *list = (*list)[n-1], (*list)[:n-1]
	}
	return name
}

// cleanUp ends what is still connected to a database, and runs a script in it.
func cleanUp(ctx context.Context, databaseURL, clean string) error {
	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		"select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()", clean,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Admin runs a statement as superuser, in the database postgres.
func (s *Server) Admin(tb testing.TB, statement string) {
	tb.Helper()
	s.need(tb)
	if _, err := s.admin.ExecContext(tb.Context(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}

// AsSuperuser returns the URL of a database for the superuser.
func (s *Server) AsSuperuser(tb testing.TB, databaseURL string) string {
	tb.Helper()
	c := s.need(tb)
	return As(tb, databaseURL, superuser, c.password)
}

// As returns a database's URL for another role.
func As(tb testing.TB, databaseURL, role, password string) string {
	tb.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

// Crash ends the server at once, as a power cut would: every transaction that
// is not committed is lost. [Server.Restart] starts it again at the same address.
func (s *Server) Crash(tb testing.TB) {
	tb.Helper()
	if err := s.need(tb).halt(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Restart starts the server after [Server.Crash].
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.need(tb).run(tb.Context()); err != nil {
		tb.Fatal(err)
	}
}

// Runner runs the tests of a package, as [testing.M] does.
type Runner interface{ Run() int }

// Around returns a Runner that runs m's tests and then stops the server.
func (s *Server) Around(m Runner) Runner { return around{server: s, tests: m} }

type around struct {
	server *Server
	tests  Runner
}

func (a around) Run() int {
	defer a.server.Stop()
	return a.tests.Run()
}

// Stop ends the server, if it was started, and removes its directory.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = true
	s.stop()
}

func (s *Server) stop() {
	if s.admin != nil {
		_ = s.admin.Close()
	}
	if s.cluster != nil {
		s.cluster.remove()
		s.cluster = nil
	}
}
