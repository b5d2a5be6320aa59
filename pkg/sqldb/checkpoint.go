//go:build !nosqlite

package sqldb

import (
	"context"
	"os"
)

// The write-ahead log is copied into the database when it has grown to
// checkpointBytes, and again each checkpointStep after, while a long read
// keeps it from starting over. SQLite's own way, every 1,000 pages and inside
// a commit, makes the callers of that commit wait for two syncs and all the
// copying: measured at 64 writers, 50 to 100 ms at the 99th percentile.
const (
	checkpointBytes = 16 << 20
	checkpointStep  = 4 << 20
	// checkpointEvery is after how many commits the log's size is looked at.
	checkpointEvery = 16
	// journalLimit is what the log's file shrinks to when it starts over, so
	// that its size tells how much is in it.
	journalLimit = 1 << 20
)

// checkpointer copies the log beside the writer, on a connection of its own.
// What was written meanwhile, a small rest, the writer copies itself between
// two commits: only without a writer the end of the log is reached, and it
// can start over. All methods are called by the writer's goroutine.
type checkpointer struct {
	s       *session
	log     string
	running bool
	done    chan struct{}
	commits int
	// next is the size at which to start, seen the size when it last did.
	next, seen int64
}

func newCheckpointer(s *session, path string) *checkpointer {
	return &checkpointer{s: s, log: path + "-wal", done: make(chan struct{}, 1), next: checkpointBytes}
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
	info, err := os.Stat(c.log)
	if err != nil {
		return
	}
	if info.Size() < c.seen {
		c.next, c.seen = checkpointBytes, 0
	}
	if info.Size() < c.next {
		return
	}
	c.seen, c.next = info.Size(), info.Size()+checkpointStep
	c.running = true
	go func() {
		// The second pass copies what was written during the first.
		copyLog(ctx, c.s)
		copyLog(ctx, c.s)
		c.done <- struct{}{}
	}()
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
