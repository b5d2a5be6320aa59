package localmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Options say how to run the model.
type Options struct {
	// Addr is where to listen; "" takes a free port of the loopback interface.
	Addr string
	// Key is asked for; "" asks for none.
	Key string
	// Context is how many tokens prompt and answer may have; 0 is DefaultContext.
	Context int
	// Threads compute; 0 is one.
	Threads int
	// Log takes what llama.cpp says.
	Log io.Writer
}

// Process is a running server.
type Process struct {
	// BaseURL is for RAGBUS_OPENAI_BASE_URL; it ends in /v1.
	BaseURL string

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
	err   error
}

// Start starts the server and does not wait for it; see Ready. Stop must be called.
func Start(ctx context.Context, f Files, o Options) (*Process, error) {
	port, err := portOf(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	if o.Context == 0 {
		o.Context = DefaultContext
	}
	keys := []string{}
	if o.Key != "" {
		keys = append(keys, o.Key)
	}
	settings, err := json.Marshal(map[string]any{
		"model": f.Model, "port": port, "context": o.Context, "threads": max(1, o.Threads), "api_keys": keys,
	})
	if err != nil {
		return nil, fmt.Errorf("write the server's settings: %w", err)
	}
	p := &Process{BaseURL: "http://127.0.0.1:" + strconv.Itoa(port) + "/v1", ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), "python3", f.server, string(settings)) //nolint:gosec // our own program
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "PYTHONPATH=" + f.Site, "PYTHONDONTWRITEBYTECODE=1"}
	p.cmd.Stdout, p.cmd.Stderr = o.Log, o.Log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("hold on to the server: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// portOf returns the port of addr, or a free one.
func portOf(ctx context.Context, addr string) (int, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("listen on %s: %w", addr, err)
	}
	// The server takes the port over; nobody else wants it in between.
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // of a TCP listener
	return port, l.Close()
}

// ErrEnded says that the server ended by itself; its log tells why.
var ErrEnded = errors.New("the model's server ended")

// Ready waits until the model is loaded, or ctx ends.
func (p *Process) Ready(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(p.BaseURL, "/v1")+"/health", nil)
		if err != nil {
			return fmt.Errorf("ask for the model's health: %w", err)
		}
		if resp, err := client.Do(r); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-again.C:
		case <-p.ended:
			return fmt.Errorf("%w: %w", ErrEnded, p.err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Ended is closed when the server is gone.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// stopTime is how long the server may take to end by itself.
const stopTime = 5 * time.Second

// Stop ends the server and waits until it is gone.
func (p *Process) Stop() {
	_ = p.stdin.Close()
	patience := time.NewTimer(stopTime)
	defer patience.Stop()
	select {
	case <-p.ended:
		return
	case <-patience.C:
	}
	p.Kill()
}

// Kill ends the server at once, as a crash does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
