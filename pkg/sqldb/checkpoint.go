//go:build !nosqlite

package sqldb

import "context"

// The write-ahead log is copied into the database when it has grown to
// checkpointFrames pages of 4 KiB, and again each checkpointStep after, while a
// long read keeps it from starting over. SQLite's own way, every 1,000 pages
// and inside a commit, makes the callers of that commit wait for two syncs and
// all the copying: measured at 64 writers, 50 to 100 ms at the 99th percentile.
//
// The log's file keeps its size when it starts over, for writing over what is
// there costs half of what making the file longer does. Only one that a long
// read let grow beyond journalLimit bytes shrinks to that.
const (
	checkpointFrames = 4096
	checkpointStep   = 1024
	// checkpointEvery is after how many commits the log's length is looked at.
	checkpointEvery = 16
	journalLimit    = 64 << 20
)

// checkpointer copies the log beside the writer, on a connection of its own.
// What was written meanwhile, a small rest, the writer copies itself between
// two commits: only without a writer the end of the log is reached, and it
// can start over. All methods are called by the writer's goroutine.
type checkpointer struct {
	s       *session
	running bool
	done    chan struct{}
	commits int
	// next is the length at which to start, seen the length when it last did.
	next, seen int
}

func newCheckpointer(s *session) *checkpointer {
	return &checkpointer{s: s, done: make(chan struct{}, 1), next: checkpointFrames}
}

// afterCommit starts a checkpoint when it is time, or finishes one.
func (c *checkpointer) afterCommit(ctx context.Context, writer *session) {
	if c.running {
		select {
		case <-c.done:
			c.running = false
			copyLog(ctx, writer)
		default:
		}
		return
	}
	c.commits++
	if c.commits%checkpointEvery != 0 {
		return
	}
	length, err := logLength(ctx, writer)
	if err != nil {
		return
	}
	if length < c.seen {
		c.next, c.seen = checkpointFrames, 0
	}
	if length < c.next {
		return
	}
	c.seen, c.next = length, length+checkpointStep
	c.running = true
	go func() {
		// The second pass copies what was written during the first.
		copyLog(ctx, c.s)
		copyLog(ctx, c.s)
		c.done <- struct{}{}
	}()
}

// logLength returns how many pages the log holds.
func logLength(ctx context.Context, s *session) (int, error) {
	var busy, length, copied int
	// It copies nothing: sqlite.org/pragma.html#pragma_wal_checkpoint.
	err := s.one(ctx, "pragma wal_checkpoint(noop)", nil, []any{&busy, &length, &copied})
	return length, err
}

// copyLog copies as much as no reader or writer is in the way of. A failure
// loses nothing: the log is whole, and is copied another time.
func copyLog(ctx context.Context, s *session) {
	_ = s.run(ctx, "pragma wal_checkpoint(passive)")
}

func (c *checkpointer) close() error {
	if c.running {
		<-c.done
	}
	return c.s.close()
}
