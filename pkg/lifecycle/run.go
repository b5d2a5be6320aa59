// Package lifecycle starts and stops the parts of a process in order, and
// tells whether they are well.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Part is something that runs until its context ends and then stops by itself.
type Part struct {
	Name string
	// Run returns nil when it stopped because ctx ended, after it has
	// released what it held.
	Run func(ctx context.Context) error
}

// Run starts the parts in order and blocks. When ctx ends, or one part
// returns, the others are stopped in reverse order, each only after the one
// that started later has finished: what was started first is needed by the
// rest. It returns the parts' errors, joined.
func Run(ctx context.Context, log *slog.Logger, parts ...Part) error {
	type running struct {
		part   Part
		cancel context.CancelFunc
		done   chan error
	}
	all := make([]running, 0, len(parts))
	ended := make(chan string, len(parts))
	for _, p := range parts {
		// Values are kept, but not the end: order of stopping is ours.
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := running{part: p, cancel: cancel, done: make(chan error, 1)}
		all = append(all, r)
		go func() {
			r.done <- p.Run(own)
			ended <- p.Name
		}()
	}
	select {
	case <-ctx.Done():
		log.InfoContext(ctx, "stopping")
	case name := <-ended:
		log.WarnContext(ctx, "a part ended, stopping the others", "part", name)
	}
	var problems []error
	for _, r := range slices.Backward(all) {
		started := time.Now()
		r.cancel()
		if err := <-r.done; err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", r.part.Name, err))
		}
		log.DebugContext(ctx, "stopped", "part", r.part.Name, "took", time.Since(started))
	}
	return errors.Join(problems...)
}

// Together returns one part made of parts that do not need each other: they
// stop at the same time, so that what each may take to stop does not add up.
// When one of them returns, the others are stopped too. Its error is theirs,
// joined and named.
func Together(name string, parts ...Part) Part {
	return Part{Name: name, Run: func(ctx context.Context) error {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		ended := make(chan error, len(parts))
		for _, p := range parts {
			go func() {
				defer stop()
				err := p.Run(ctx)
				if err != nil {
					err = fmt.Errorf("%s: %w", p.Name, err)
				}
				ended <- err
			}()
		}
		var problems []error
		for range parts {
			problems = append(problems, <-ended)
		}
		return errors.Join(problems...)
	}}
}
