package gateway

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// refusal is written to a connection that is one too many.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\nConnection: close\r\n" +
	"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n" +
	"Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nCross-Origin-Resource-Policy: same-origin\r\n" +
	"Content-Length: 181\r\n\r\n" +
	`{"type":"urn:ragbus:problem:too_many_connections","title":"Service Unavailable","status":503,` +
	`"detail":"the server has too many connections; try again","code":"too_many_connections"}`

// Bounds of what is read, and thrown away, of a body that was refused: a
// connection closed on unread bytes is reset, and the client loses the answer.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 512 << 20
	// silentGrace is how long a stop waits for the first byte of a connection that has sent none.
	silentGrace = 100 * time.Millisecond
)

// listener hands out connections that are bounded in number, may pause
// writing only so long, and linger when a body was refused.
type listener struct {
	net.Listener

	stall time.Duration
	slots chan struct{}
	once  sync.Once
	err   error

	mu   sync.Mutex
	open map[*conn]struct{}
}

func newListener(ln net.Listener, limit int, stall time.Duration) *listener {
	return &listener{Listener: ln, stall: stall, slots: make(chan struct{}, limit), open: map[*conn]struct{}{}}
}

// Accept returns the next connection within the limit; those beyond it are told and closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
		default:
			refuse(raw)
			continue
		}
		c := &conn{Conn: raw, l: l}
		l.mu.Lock()
		l.open[c] = struct{}{}
		l.mu.Unlock()
		return c, nil
	}
}

// refuse answers without reading. The few bytes fit the socket's buffer, so it does not block.
func refuse(c net.Conn) {
	if c.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = io.WriteString(c, refusal) // a courtesy: the connection is closed whatever happens
	}
	_ = c.Close() // nothing is left to do with it
}

// Close stops accepting. Repeating it is harmless.
func (l *listener) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// closeAll breaks every connection that is still open.
func (l *listener) closeAll() {
	l.mu.Lock()
	all := make([]*conn, 0, len(l.open))
	for c := range l.open {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Conn.Close() // broken on purpose; whoever serves it notices and closes the rest
	}
}

// closeSilent gives the connections that never sent a byte a moment, then
// they end: clients open some ahead of need, and nobody waits for an answer there.
func (l *listener) closeSilent() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if !c.spoke.Load() {
			_ = c.SetReadDeadline(time.Now().Add(silentGrace)) // it fails on a closed one, which is as good
		}
	}
}

// count returns how many connections are open.
func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// conn is one client's connection.
type conn struct {
	net.Conn

	l      *listener
	linger atomic.Bool
	// ended: a read met the end of what the client sends.
	ended atomic.Bool
	// spoke: something was read.
	spoke atomic.Bool
	once  sync.Once
	err   error
}

// Read notes when the client has sent its last byte.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.spoke.Store(true)
	}
	if errors.Is(err, io.EOF) {
		c.ended.Store(true)
	}
	return n, err
}

// Write bounds the pause of a reader instead of the whole response, which may be a stream.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.l.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close closes the connection, after a bounded time in which a refused body
// is read and thrown away when [conn.lingerOnClose] asked for it.
func (c *conn) Close() error {
	c.once.Do(func() {
		if c.linger.Load() {
			c.drain()
		}
		c.err = c.Conn.Close()
		c.l.mu.Lock()
		delete(c.l.open, c)
		c.l.mu.Unlock()
		<-c.l.slots
	})
	return c.err
}

func (c *conn) lingerOnClose() { c.linger.Store(true) }

func (c *conn) drain() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // whatever ends it, the connection is closed next
	}
}

// patientBody reads a request's body: every pause is bounded, and so is the
// whole. It also tells a body that ended from a client that did: fasthttp
// reports a connection closed in the middle of a body, or between two of its
// chunks, as the end of the body, and half a document would pass for a whole one.
type patientBody struct {
	body io.Reader
	conn net.Conn
	// length is what was announced, negative for a chunked body.
	length int64
	read   int64
	pause  time.Duration
	until  time.Time
	done   bool
	// err is what broke the body off, for those whose reader words it in its own way.
	err error
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	deadline := time.Now().Add(b.pause)
	if deadline.After(b.until) {
		deadline = b.until
	}
	if err := b.conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	n, err := b.body.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) {
		own, ok := b.conn.(*conn)
		if b.length >= 0 && b.read < b.length || b.length < 0 && ok && own.ended.Load() {
			err = io.ErrUnexpectedEOF
		} else {
			b.done = true
			return n, io.EOF
		}
	}
	if err != nil {
		b.err = err
	}
	return n, err
}
