package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// caller is one client with one connection. It speaks HTTP/1.1 over it
// directly, because a pooling client costs as much as the server under test.
type caller struct {
	plan Plan
	conn net.Conn
	in   *bufio.Reader
	body bytes.Buffer

	took, first []time.Duration
	bytes       int64
	failed      int
	failure     string
}

func (c *caller) connect(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.plan.Addr)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.conn, c.in = conn, bufio.NewReaderSize(conn, 64<<10)
	return nil
}

func (c *caller) close() error {
	if c.conn == nil {
		return nil
	}
	conn := c.conn
	c.conn = nil
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("hang up: %w", err)
	}
	return nil
}

// ask sends one request and judges the answer.
func (c *caller) ask(ctx context.Context, request []byte) {
	started := time.Now()
	first, err := c.exchange(ctx, request, started)
	if err != nil {
		c.failed++
		if c.failure == "" {
			c.failure = err.Error()
		}
		return
	}
	c.took, c.first = append(c.took, time.Since(started)), append(c.first, first)
	c.bytes += int64(c.body.Len())
}

func (c *caller) exchange(ctx context.Context, request []byte, started time.Time) (first time.Duration, err error) {
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return 0, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Now()) })
	defer stop()
	keep := false
	defer func() {
		if !keep {
			err = errors.Join(err, c.close())
		}
	}()
	if err := c.conn.SetDeadline(started.Add(c.plan.Timeout)); err != nil {
		return 0, fmt.Errorf("set the deadline: %w", err)
	}
	if _, err := c.conn.Write(request); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, fmt.Errorf("receive: %w", err)
	}
	c.body.Reset()
	first, err = c.receive(resp.Body, started)
	if err = errors.Join(err, resp.Body.Close()); err != nil && !errors.Is(err, io.EOF) {
		return 0, fmt.Errorf("receive the body: %w", err)
	}
	keep = !resp.Close
	return first, c.judge(resp)
}

// receive reads the body and tells when it began: with the first word of an
// answer that is streamed, for the sources come long before.
func (c *caller) receive(from io.Reader, started time.Time) (first time.Duration, err error) {
	if !c.plan.Stream {
		if _, err := c.in.Peek(1); err != nil {
			return 0, fmt.Errorf("the body does not begin: %w", err)
		}
		first = time.Since(started)
		_, err = c.body.ReadFrom(from)
		return first, err //nolint:wrapcheck // the caller says what it was
	}
	word := []byte("\nevent: delta\n")
	part := make([]byte, 8<<10)
	for {
		n, err := from.Read(part)
		// A name that is cut in two is found with what came before.
		tail := max(0, c.body.Len()-len(word))
		c.body.Write(part[:n])
		if first == 0 && bytes.Contains(c.body.Bytes()[tail:], word) {
			first = time.Since(started)
		}
		switch {
		case errors.Is(err, io.EOF):
			return first, nil
		case err != nil:
			return first, err //nolint:wrapcheck // the caller says what it was
		}
	}
}

// judge makes sure that the server did its work: what is fast and wrong does not count.
func (c *caller) judge(resp *http.Response) error {
	got := c.body.Bytes()
	fault := func(what string) error {
		return fmt.Errorf("%s: status %d: %.300s", what, resp.StatusCode, got)
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		return fault("not answered")
	case c.plan.Search:
		if !bytes.Contains(got, []byte(`"document_id"`)) {
			return fault("no passages")
		}
	case c.plan.Stream && bytes.Count(got, []byte("\nevent: done\n")) != 1:
		return fault("the stream did not end with done")
	case !bytes.Contains(got, []byte(`"status":"completed"`)) || !bytes.Contains(got, []byte(`"quote"`)):
		return fault("no cited answer")
	}
	return nil
}
