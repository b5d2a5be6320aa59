package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

// readyTimeout bounds the wait for the parts of a server that starts, an
// index that is read into memory included.
const readyTimeout = 2 * time.Minute

// Options of [Serve] beside the settings.
type Options struct {
	Version string
	// Out gets what people want to know; Log the log.
	Out, Log io.Writer
	Terminal bool
	// Sample is a library to ingest when there never was a document, nil for none.
	Sample fs.FS
}

// Serve runs a server until ctx ends.
func Serve(ctx context.Context, vars config.Vars, o Options) error {
	set, err := process.Settings[serveConfig](vars)
	if err != nil {
		return err
	}
	cfg := set.Config
	if _, chosen := vars["RAGBUS_LOG_LEVEL"]; o.Sample != nil && o.Terminal && !chosen {
		// Whoever watches the sample wants to see the answer and not the log.
		cfg.Telemetry.LogLevel = "warn"
	}
	s, err := Open(ctx, cfg, Parts{}, o.Version, o.Log, o.Terminal)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var guide error
	running.Go(func() {
		if guide = s.welcome(ctx, o); guide != nil && ctx.Err() == nil {
			stop()
		}
	})
	err = s.Run(ctx)
	stop()
	running.Wait()
	if errors.Is(guide, context.Canceled) {
		guide = nil
	}
	return errors.Join(err, guide, s.Close(ctx))
}

// welcome waits until the server is ready, says so, and shows the sample
// library to a server that never had a document.
func (s *Server) welcome(ctx context.Context, o Options) error {
	c, err := client.New(s.URL())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := Ready(ctx, c); err != nil {
		return err
	}
	open := s.cfg.Gateway.Auth == access.AuthNone
	fresh := false
	if o.Sample != nil && open {
		if fresh, err = untouched(ctx, c); err != nil {
			return err
		}
	}
	if fresh {
		if err := showSample(ctx, c, o.Out, o.Sample); err != nil {
			return fmt.Errorf("show the sample library: %w", err)
		}
	}
	if !open {
		fmt.Fprintf(o.Out, "\nRagbus listens on %s (data in %s) and asks for a credential (RAGBUS_AUTH=%s).\n", s.URL(), s.cfg.DataDir, s.cfg.Gateway.Auth)
		if s.cfg.Gateway.Auth == access.AuthKeys {
			fmt.Fprintf(o.Out, "A key is made beside it:\n\n  ragbus keys create --name first --scopes chat,documents:write\n\n")
		}
		fmt.Fprintln(o.Out, "Ctrl-C ends it.")
		return nil
	}
	fmt.Fprintf(o.Out, "\nRagbus listens on %s (data in %s). Try:\n\n", s.URL(), s.cfg.DataDir)
	fmt.Fprintf(o.Out, "  ./bin/ragbus ask%s \"how long does probation last?\"\n", s.flag())
	fmt.Fprintf(o.Out, "  ./bin/ragbus ingest%s README.md docs\n", s.flag())
	fmt.Fprintf(o.Out, "  curl -s %s/v1/search -H 'Content-Type: application/json' -d '{\"query\":\"hotel in Oslo\",\"limit\":3}'\n\nCtrl-C ends it.\n", s.URL())
	return nil
}

// flag is what the commands need to find a server that is not where they look.
func (s *Server) flag() string {
	if s.URL() == "http://127.0.0.1:8080" {
		return ""
	}
	return " --server " + s.URL()
}

// Ready returns when the server can do its job.
func Ready(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	pause := 2 * time.Millisecond
	for {
		err := c.Do(ctx, http.MethodGet, "/readyz", nil, nil, nil)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		pause = min(2*pause, 200*time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait until the server is ready: %w (%w)", ctx.Err(), err)
		case <-timer.C:
		}
	}
}
