package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// listenSilently takes connections and says nothing.
func listenSilently(t *testing.T) (address string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// line is a connection to Postgres that can be cut without anybody being told.
type line struct {
	url  string
	mu   sync.RWMutex
	open chan struct{}
}

// cut holds back everything that is sent from now on.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open = make(chan struct{})
}

// mend lets everything through again.
func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.open)
}

func (l *line) passable() chan struct{} {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.open
}

// pass copies from one side to the other until one of them closes.
func (l *line) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			<-l.passable()
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func connectThrough(t *testing.T, direct string) *line {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	server := u.Host
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	l := &line{url: u.String(), open: make(chan struct{})}
	l.mend()
	var copies sync.WaitGroup
	copies.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server)
			if err != nil {
				t.Error(errors.Join(err, client.Close()))
				return
			}
			copies.Go(func() { l.pass(client, far) })
			copies.Go(func() { l.pass(far, client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		copies.Wait()
	})
	return l
}

// pooler stands between clients and Postgres as PgBouncer does in transaction
// mode: each transaction of a client gets whichever server connection comes
// next, and no client keeps one for longer. It knows nothing of prepared
// statements, like older ones.
type pooler struct {
	servers  chan *pgconn.HijackedConn
	switched atomic.Int64
}

// startPooler returns the URL of the same database behind a pooler with n connections.
func startPooler(t *testing.T, direct string, n int) (string, *pooler) {
	t.Helper()
	p := &pooler{servers: make(chan *pgconn.HijackedConn, n)}
	for range n {
		conn, err := pgconn.Connect(t.Context(), direct)
		if err != nil {
			t.Fatal(err)
		}
		server, err := conn.Hijack()
		if err != nil {
			t.Fatal(err)
		}
		p.servers <- server
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			clients.Go(func() {
				defer conn.Close()
				if err := p.serve(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("pooler: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		clients.Wait()
		for range n {
			_ = (<-p.servers).Conn.Close()
		}
	})
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	return u.String(), p
}

// serve speaks with one client until it leaves.
func (p *pooler) serve(conn net.Conn) error {
	client := pgproto3.NewBackend(conn, conn)
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return fmt.Errorf("startup: %w", err)
	}
	client.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{"client_encoding": "UTF8", "standard_conforming_strings": "on", "server_version": "15.0"} {
		client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := client.Flush(); err != nil {
		return err
	}
	var last *pgconn.HijackedConn
	for {
		message, err := client.Receive()
		if err != nil {
			return err
		}
		if _, leaves := message.(*pgproto3.Terminate); leaves {
			return nil
		}
		server := <-p.servers
		if server != last && last != nil {
			p.switched.Add(1)
		}
		last = server
		err = transaction(client, server, message)
		p.servers <- server
		if err != nil {
			return err
		}
	}
}

// transaction passes messages on until the server is outside a transaction.
func transaction(client *pgproto3.Backend, server *pgconn.HijackedConn, message pgproto3.FrontendMessage) error {
	for {
		server.Frontend.Send(message)
		switch message.(type) {
		case *pgproto3.Sync, *pgproto3.Query:
			if err := server.Frontend.Flush(); err != nil {
				return err
			}
			status, err := answer(client, server)
			if err != nil || status == 'I' {
				return err
			}
		case *pgproto3.Flush:
			return errors.New("the stand-in does not know Flush")
		}
		var err error
		if message, err = client.Receive(); err != nil {
			return err
		}
	}
}

func answer(client *pgproto3.Backend, server *pgconn.HijackedConn) (status byte, err error) {
	for {
		message, err := server.Frontend.Receive()
		if err != nil {
			return 0, err
		}
		client.Send(message)
		ready, ok := message.(*pgproto3.ReadyForQuery)
		if !ok {
			// What was received is only valid until the next.
			if err := client.Flush(); err != nil {
				return 0, err
			}
			continue
		}
		return ready.TxStatus, client.Flush()
	}
}

// Through a pooler in transaction mode tenants stay apart, locks hold, and
// nothing is left on the connection for whoever gets it next.
func TestThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			address, p := startPooler(t, postgres.Database(t), 3)
			var dbs []*sqldb.DB
			for range 3 {
				dbs = append(dbs, openWith(t, sqldb.Config{URL: with(t, address, "default_query_exec_mode", mode), Connections: 4}))
			}
			var wg sync.WaitGroup
			for _, db := range dbs {
				wg.Go(func() {
					if err := db.Migrate(t.Context(), "notes", notes(), "m"); err != nil {
						t.Error(err)
					}
					if err := db.Migrate(t.Context(), "items", itemsFiles(), "m"); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if err := put(t.Context(), dbs[0], "x", 0); err != nil {
				t.Fatal(err)
			}
			const rounds = 30
			for i, db := range dbs {
				for g := range 3 {
					wg.Go(func() { mixedWork(t, db, fmt.Sprint("tenant", i, g), rounds) })
				}
			}
			wg.Wait()
			if n := number(t, dbs[0], "select value from items where id = 'x'"); n != len(dbs)*3*rounds {
				t.Errorf("%d of %d changes under a lock are there", n, len(dbs)*3*rounds)
			}
			checkNotes(t, dbs[0])
			if p.switched.Load() < rounds {
				t.Errorf("clients changed their connection %d times only", p.switched.Load())
			}
		})
	}
}

// mixedWork writes and reads as one tenant, and counts in turn with all others.
func mixedWork(t *testing.T, db *sqldb.DB, tenant string, rounds int) {
	t.Helper()
	for i := range rounds {
		err := db.Tenant(tenant).Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "insert into notes (tenant, id) values ($1, $2)", tenant, fmt.Sprint(i))
			return err
		})
		if err != nil {
			t.Error(err)
			return
		}
		err = db.Tenant(tenant).Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			var n int
			_, err := tx.One(ctx, "select count(*) from notes", nil, &n)
			if n != i+1 {
				t.Errorf("%s sees %d rows after %d writes", tenant, n, i+1)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		err = db.Tenant("all together").Alone("item", "x").Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			var value int64
			if _, err := tx.One(ctx, "select value from items where id = $1", []any{"x"}, &value); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "update items set value = $1 where id = $2", value+1, "x")
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	err := db.AllTenants().Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, "delete from notes where tenant = $1", tenant)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Named prepared statements and such a pooler do not go together; the error
// says what to do.
func TestAPoolerWithoutPreparedStatementsIsRecognised(t *testing.T) {
	t.Parallel()
	address, _ := startPooler(t, postgres.Database(t), 2)
	ctx := t.Context()
	var first, second error
	db, err := sqldb.Open(ctx, sqldb.Config{URL: address, Connections: 4})
	if err != nil {
		first = err
	} else {
		defer db.Close()
		for range 20 {
			var wg sync.WaitGroup
			results := make([]error, 4)
			for i := range results {
				wg.Go(func() { results[i] = db.Ready(ctx) })
			}
			wg.Wait()
			second = errors.Join(second, errors.Join(results...))
		}
	}
	code, message := fault.Public(errors.Join(first, second))
	if code != "database_pooler" {
		t.Errorf("got %s, %s: %v", code, message, errors.Join(first, second))
	}
}
