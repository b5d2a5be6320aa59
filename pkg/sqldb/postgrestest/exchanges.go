package postgrestest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// Exchanges counts how often clients wait for the server.
type Exchanges struct{ n atomic.Int64 }

// Since returns how many there were since the last call.
func (e *Exchanges) Since() int { return int(e.n.Swap(0)) }

// Counted returns the URL of the same database through a connection that
// counts exchanges: the messages after which a client waits for an answer.
func Counted(tb testing.TB, direct string) (string, *Exchanges) {
	tb.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		tb.Fatal(err)
	}
	server := u.Host
	listener, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	u.Host = listener.Addr().String()
	e := &Exchanges{}
	var copies sync.WaitGroup
	copies.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", server)
			if err != nil {
				tb.Error(errors.Join(err, client.Close()))
				return
			}
			copies.Go(func() {
				_ = e.pass(client, far) // one of them left
				_ = errors.Join(client.Close(), far.Close())
			})
			copies.Go(func() {
				_, _ = io.Copy(client, far)
				_ = errors.Join(client.Close(), far.Close())
			})
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		copies.Wait()
	})
	return u.String(), e
}

// pass copies a client's messages. Each but the first begins with its type,
// and has its length after that
// (postgresql.org/docs/current/protocol-message-formats.html).
func (e *Exchanges) pass(client io.Reader, server io.Writer) error {
	for header := make([]byte, 4); ; header = make([]byte, 5) {
		if _, err := io.ReadFull(client, header); err != nil {
			return err
		}
		length := header[len(header)-4:]
		if len(header) == 5 && (header[0] == 'S' || header[0] == 'Q') { // Sync, Query
			e.n.Add(1)
		}
		if _, err := server.Write(header); err != nil {
			return err
		}
		if _, err := io.CopyN(server, client, int64(binary.BigEndian.Uint32(length))-4); err != nil {
			return err
		}
	}
}
