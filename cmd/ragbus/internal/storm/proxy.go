package storm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// proxy stands between one process and one part and can cut, delay and hold
// what goes through it.
type proxy struct {
	name   string
	target string
	l      net.Listener
	work   sync.WaitGroup

	mu    sync.Mutex
	links map[*link]struct{}
	delay time.Duration
	// held is closed when what is held may go on; nil when nothing is.
	held   chan struct{}
	closed bool
}

// link is one connection through a proxy.
type link struct {
	client, server net.Conn
	once           sync.Once
	gone           chan struct{}
}

func (c *link) cut() {
	c.once.Do(func() {
		close(c.gone)
		for _, conn := range []net.Conn{c.client, c.server} {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // a cut is a reset, no farewell
			}
			_ = conn.Close()
		}
	})
}

func newProxy(ctx context.Context, name, target string) (*proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", name, err)
	}
	p := &proxy{name: name, target: target, l: l, links: map[*link]struct{}{}}
	p.work.Go(p.accept)
	return p, nil
}

func (p *proxy) address() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.work.Go(func() { p.serve(client) })
		}
	}
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, 5*time.Second) //nolint:noctx // bounded; the proxy's end cuts it
	if err != nil {
		_ = client.Close()
		return
	}
	c := &link{client: client, server: server, gone: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		c.cut()
		return
	}
	p.links[c] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(c, server, client) })
	both.Go(func() { p.copy(c, client, server) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, c)
	p.mu.Unlock()
}

// copy carries one direction until either side ends.
func (p *proxy) copy(c *link, to io.Writer, from io.Reader) {
	defer c.cut()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.pass(c) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits as long as the proxy delays or holds, and reports whether the link is still there.
func (p *proxy) pass(c *link) bool {
	p.mu.Lock()
	delay, held := p.delay, p.held
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.gone:
			return false
		}
	}
	if held != nil {
		select {
		case <-held:
		case <-c.gone:
			return false
		}
	}
	return true
}

// cut ends every connection at once.
func (p *proxy) cut() {
	p.mu.Lock()
	links := p.links
	p.links = map[*link]struct{}{}
	p.mu.Unlock()
	for c := range links {
		c.cut()
	}
}

// slow delays everything by d from now on; 0 ends it.
func (p *proxy) slow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// hold lets nothing through until release.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.l.Close()
	p.release()
	p.cut()
	p.work.Wait()
}
