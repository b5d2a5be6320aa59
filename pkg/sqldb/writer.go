//go:build !nosqlite

package sqldb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/ragbus/ragbus/pkg/fault"
)

// writer runs the writes of all callers on one connection, many in one
// transaction. While one group commits, the next gathers; nobody ever waits
// for a group to fill.
type writer struct {
	s      *session
	copies *checkpointer
	jobs   chan *job
	done   chan struct{}
	batch  int
	// synced is the level the connection is set to.
	synced bool
}

// The states of a job. Only its caller moves it to abandoned, only the writer to running.
const (
	queued int32 = iota
	running
	abandoned
)

type job struct {
	ctx    context.Context //nolint:containedctx // a job is its caller's request, waiting
	fn     Func
	synced bool
	state  atomic.Int32
	done   chan struct{}

	err      error
	panicked any
}

func startWriter(ctx context.Context, s *session, copies *checkpointer, cfg Config) *writer {
	w := &writer{s: s, copies: copies, jobs: make(chan *job, cfg.Queue), done: make(chan struct{}), batch: cfg.Batch}
	go w.loop(ctx)
	return w
}

// stop waits for the queued jobs; the caller makes sure that no more come.
func (w *writer) stop() error {
	close(w.jobs)
	<-w.done
	return errors.Join(w.copies.close(), w.s.close())
}

func (w *writer) do(ctx context.Context, synced bool, fn Func) error {
	j := &job{ctx: ctx, fn: fn, synced: synced, done: make(chan struct{})}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return classify(ctx.Err())
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if j.state.CompareAndSwap(queued, abandoned) {
			return classify(ctx.Err())
		}
		// It runs, so it must be known what became of it. Its next statement
		// fails, and what came after the last one is one commit away.
		<-j.done
	}
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

func (w *writer) loop(ctx context.Context) {
	defer close(w.done)
	group := make([]*job, 0, w.batch)
	for j := range w.jobs {
		group = w.gather(append(group[:0], j))
		if len(group) == 0 {
			continue
		}
		w.commit(ctx, group)
		for i, j := range group {
			close(j.done)
			group[i] = nil
		}
		w.copies.afterCommit(ctx, w.s)
	}
}

// gatherTimes bounds how long a group may gather.
const gatherTimes = 8

// gather adds what else is queued, and leaves out what nobody waits for any more.
func (w *writer) gather(group []*job) []*job {
	if !group[0].state.CompareAndSwap(queued, running) {
		group = group[:0]
	}
	// Whoever is about to write gets in, and while somebody did, whoever is
	// next: under load this makes groups several times as large, and alone it
	// returns at once.
	for range gatherTimes {
		runtime.Gosched()
		before := len(group)
		for len(w.jobs) > 0 && len(group) < w.batch {
			if j := <-w.jobs; j.state.CompareAndSwap(queued, running) {
				group = append(group, j)
			}
		}
		if len(group) == before {
			break
		}
	}
	return group
}

// commit runs a group in one transaction and gives each job its result. A
// savepoint for each job costs two statements and a copy of every page that
// the jobs before have changed, and is of use when one fails. So the group runs
// without, and when one fails all of it runs again, each in its savepoint.
func (w *writer) commit(ctx context.Context, group []*job) {
	done, err := w.transact(ctx, group, false)
	if !done && err == nil && len(group) > 1 {
		_, err = w.transact(ctx, group, true)
	}
	if err != nil {
		for _, j := range group {
			j.err = errors.Join(j.err, err)
		}
	}
}

// transact runs a group once. Done is false when it was undone: because a job
// failed, where failures are not kept apart by savepoints, or with an error,
// for a reason that is none of the jobs'.
func (w *writer) transact(ctx context.Context, group []*job, apart bool) (done bool, err error) {
	if err := w.sync(ctx, group); err != nil {
		return false, err
	}
	if err := w.s.run(ctx, "begin immediate"); err != nil {
		return false, fmt.Errorf("begin: %w", err)
	}
	for _, j := range group {
		if apart {
			if err := w.runApart(ctx, j); err != nil {
				return false, errors.Join(err, w.rollback(ctx))
			}
			continue
		}
		if j.call(&Tx{s: w.s}); j.failed() {
			return false, w.rollback(ctx)
		}
	}
	if err := w.s.run(ctx, "commit"); err != nil {
		return false, errors.Join(fmt.Errorf("commit: %w", err), w.rollback(ctx))
	}
	return true, nil
}

func (j *job) failed() bool { return j.err != nil || j.panicked != nil }

// sync sets how far a commit goes before it returns: synchronous=full makes
// SQLite sync the log at each commit (sqlite.org/pragma.html#pragma_synchronous).
func (w *writer) sync(ctx context.Context, group []*job) error {
	want := false
	for _, j := range group {
		want = want || j.synced
	}
	if want == w.synced {
		return nil
	}
	level := "pragma synchronous = normal"
	if want {
		level = "pragma synchronous = full"
	}
	// Not prepared: SQLite may obey a pragma when it compiles it and not when it runs.
	if err := (&Tx{s: w.s}).script(ctx, level); err != nil {
		return fmt.Errorf("set durability: %w", err)
	}
	w.synced = want
	return nil
}

// runApart runs one job in a savepoint. Its own failure goes into the job; the
// error returned says that the transaction is lost for all of them.
func (w *writer) runApart(ctx context.Context, j *job) error {
	if err := w.s.run(ctx, "savepoint job"); err != nil {
		return lost(err)
	}
	if j.call(&Tx{s: w.s}); j.failed() {
		if err := w.s.run(ctx, "rollback to job"); err != nil {
			return lost(err)
		}
	}
	if err := w.s.run(ctx, "release job"); err != nil {
		return lost(err)
	}
	return nil
}

// lost is what writes are told whose transaction SQLite undid because of
// another one, as it does when the disk is full.
func lost(err error) error {
	return fault.Transientf("write_lost", "the write was undone with others; try again").WithCause(err)
}

// call runs the job's function and keeps a panic for its caller. What became
// of it when it ran before is forgotten.
func (j *job) call(tx *Tx) {
	j.err = nil
	defer func() { j.panicked = recover() }()
	if err := j.ctx.Err(); err != nil {
		j.err = classify(err)
		return
	}
	j.err = j.fn(j.ctx, tx)
}

// rollback ends the transaction. A full disk or an I/O error has ended it
// already, and then SQLite has nothing to roll back, which is no failure.
func (w *writer) rollback(ctx context.Context) error {
	err := w.s.run(ctx, "rollback")
	if err != nil && noTransaction(err) {
		return nil
	}
	return err
}
