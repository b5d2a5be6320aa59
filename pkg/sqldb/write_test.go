package sqldb_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

func TestAFailedWriteLeavesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := insert("x", 1)(ctx, tx); err != nil {
				return err
			}
			return errChanged
		})
		if !errors.Is(err, errChanged) {
			t.Fatalf("got %v", err)
		}
		if n := count(t, db); n != 0 {
			t.Errorf("%d rows are there", n)
		}
	})
}

// block keeps the writer busy until the returned function is called, so that
// later writes gather in one group.
func block(t *testing.T, db *sqldb.DB) (release func()) {
	t.Helper()
	started, free, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- db.Write(t.Context(), func(context.Context, *sqldb.Tx) error {
			close(started)
			<-free
			return nil
		})
	}()
	<-started
	return sync.OnceFunc(func() {
		close(free)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestOneFailureInAGroupHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		release := block(t, db)
		const writers = 60
		errs := make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						errs[i] = fmt.Errorf("panic: %v", p)
					}
				}()
				errs[i] = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					if err := insert(fmt.Sprintf("item-%d", i), int64(i))(ctx, tx); err != nil {
						return err
					}
					switch i % 3 {
					case 1:
						return insert("bad", -1)(ctx, tx)
					case 2:
						panic("boom")
					}
					return nil
				})
			})
		}
		release()
		wg.Wait()
		for i, err := range errs {
			switch i % 3 {
			case 0:
				if err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			case 1:
				if !fault.Is(err, fault.Permanent) {
					t.Errorf("write %d: got %v, want the check to fail", i, err)
				}
			case 2:
				if err == nil || err.Error() != "panic: boom" {
					t.Errorf("write %d: got %v, want its panic", i, err)
				}
			}
		}
		if n := count(t, db); n != writers/3 {
			t.Errorf("%d rows are there, want %d", n, writers/3)
		}
	})
}

// A group runs once; when one of its writes fails all run again, and what each
// does is done exactly once, or not at all.
func TestAGroupThatFailsRunsAgain(t *testing.T) {
	t.Parallel()
	const writers = 20
	for name, c := range map[string]struct {
		// fail is how the write in the middle ends; nil is well.
		fail func(ctx context.Context, tx *sqldb.Tx, cancel func()) error
		runs int32
		told func(err error) bool
	}{
		"none fails": {nil, 1, func(err error) bool { return err == nil }},
		"an error": {
			func(context.Context, *sqldb.Tx, func()) error { return errChanged }, 2,
			func(err error) bool { return errors.Is(err, errChanged) },
		},
		"a statement": {
			func(ctx context.Context, tx *sqldb.Tx, _ func()) error { return insert("bad", -1)(ctx, tx) }, 2,
			func(err error) bool { return fault.Is(err, fault.Permanent) },
		},
		"a panic": {
			func(context.Context, *sqldb.Tx, func()) error { panic(errChanged) }, 2,
			func(err error) bool { return errors.Is(err, errChanged) },
		},
		// It does not run again: nobody waits for what it would do.
		"the end of its context": {
			func(ctx context.Context, tx *sqldb.Tx, cancel func()) error {
				cancel()
				return insert("late", 1)(ctx, tx)
			}, 1,
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
		"once only": {
			func() func(context.Context, *sqldb.Tx, func()) error {
				var ran atomic.Bool
				return func(context.Context, *sqldb.Tx, func()) error {
					if ran.Swap(true) {
						return nil
					}
					return errChanged
				}
			}(), 2,
			func(err error) bool { return err == nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openItems(t)
			if err := put(t.Context(), db, "sum", 0); err != nil {
				t.Fatal(err)
			}
			var (
				wg   sync.WaitGroup
				runs [writers]atomic.Int32
				errs [writers]error
			)
			release := block(t, db)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			for i := range writers {
				wg.Go(func() {
					defer func() {
						if p := recover(); p != nil {
							errs[i], _ = p.(error)
						}
					}()
					ctx, middle := ctx, i == writers/2 && c.fail != nil
					if !middle {
						ctx = t.Context()
					}
					errs[i] = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
						runs[i].Add(1)
						if _, err := tx.Exec(ctx, "update items set value = value + $1 where id = 'sum'", int64(1)<<i); err != nil || !middle {
							return err
						}
						return c.fail(ctx, tx, cancel)
					})
				})
			}
			for db.Waiting() < writers {
				runtime.Gosched()
			}
			release()
			wg.Wait()
			want := int64(0)
			for i, err := range errs {
				if err == nil {
					want += 1 << i
				}
				switch n := runs[i].Load(); {
				case i == writers/2 && (!c.told(err) || n != c.runs):
					t.Errorf("the write in the middle ran %d times: %v", n, err)
				case i != writers/2 && (err != nil || n != 1 && (c.fail == nil || n != 2)):
					t.Errorf("write %d ran %d times: %v", i, n, err)
				}
			}
			if n := number(t, db, "select value from items where id = 'sum'"); int64(n) != want || count(t, db) != 1 {
				t.Errorf("the sum is %b of %b, in %d rows", n, want, count(t, db))
			}
		})
	}
}

var errChanged = errors.New("changed my mind")

func TestAQueuedWriteIsAbandonedWithItsContext(t *testing.T) {
	t.Parallel()
	db := openItems(t)
	release := block(t, db)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- put(ctx, db, "late", 1) }()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	release()
	if n := count(t, db); n != 0 {
		t.Error("the abandoned write was done")
	}
}

func TestACancelledWriteIsUndoneAndSparesItsGroup(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		release := block(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		var cancelled error
		others := make([]error, 20)
		wg.Go(func() {
			cancelled = db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				if err := insert("half", 1)(ctx, tx); err != nil {
					return err
				}
				cancel()
				return insert("other half", 1)(ctx, tx)
			})
		})
		for i := range others {
			wg.Go(func() { others[i] = put(t.Context(), db, fmt.Sprint("other-", i), 1) })
		}
		release()
		wg.Wait()
		if !errors.Is(cancelled, context.Canceled) {
			t.Errorf("got %v", cancelled)
		}
		if err := errors.Join(others...); err != nil {
			t.Error(err)
		}
		if n := count(t, db); n != len(others) {
			t.Errorf("%d rows are there, want %d", n, len(others))
		}
	})
}

// SQLite answers an interrupted write by undoing the whole transaction.
func TestAContextThatEndsInAStatementSparesItsGroup(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, db *sqldb.DB) {
		t.Helper()
		release := block(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		others := make([]error, 10)
		for i := range others {
			wg.Go(func() { others[i] = put(t.Context(), db, fmt.Sprint("other-", i), 1) })
		}
		wg.Go(func() {
			err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
				time.AfterFunc(2*time.Millisecond, cancel)
				_, err := tx.Exec(ctx, "insert into items with recursive n (i) as (select 1 union all select i + 1 from n where i < 100000) select 'long-' || i, i from n")
				if err != nil {
					return err
				}
				return insert("after", 1)(ctx, tx)
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
		release()
		wg.Wait()
		if err := errors.Join(others...); err != nil {
			t.Error(err)
		}
		if n := count(t, db); n != len(others) {
			t.Errorf("%d rows are there, want %d", n, len(others))
		}
	})
}

func TestAFullQueueWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	db := openWith(t, sqldb.Config{URL: sqldb.FileURL(filepath.Join(t.TempDir(), "q.db")), Queue: 1})
	migrateItems(t, db)
	release := block(t, db)
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			if err := put(ctx, db, fmt.Sprint(i), 1); !errors.Is(err, context.DeadlineExceeded) || !fault.Is(err, fault.Transient) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
}

// A full disk makes SQLite undo the whole transaction by itself.
func TestAFullDiskFailsTheGroupAndLeavesTheWriterUsable(t *testing.T) {
	t.Parallel()
	db := openItems(t)
	pragma := func(text string) {
		t.Helper()
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pragma("pragma max_page_count = 20")
	release := block(t, db)
	big := strings.Repeat("x", 30<<10)
	const writers = 12
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { errs[i] = put(t.Context(), db, fmt.Sprint(i, big), 1) })
	}
	release()
	wg.Wait()
	done, full := 0, 0
	for _, err := range errs {
		if err == nil {
			done++
			continue
		}
		if code, _ := fault.Public(err); code == "storage_full" {
			full++
		}
		if !fault.Retryable(err) {
			t.Errorf("got %v, want an error that a retry may help", err)
		}
	}
	if full == 0 {
		t.Errorf("nobody was told that the disk is full: %v", errs)
	}
	if n := count(t, db); n != done {
		t.Errorf("%d rows are there, %d were acknowledged", n, done)
	}
	pragma("pragma max_page_count = 100000")
	if err := put(t.Context(), db, "again", 1); err != nil {
		t.Errorf("when there is space again: %v", err)
	}
}

func TestSyncedWritesReachTheDisk(t *testing.T) {
	t.Parallel()
	db := openItems(t)
	const full, normal = 2, 1
	for i, step := range []struct {
		write func(context.Context, sqldb.Func) error
		want  int
	}{{db.Write, normal}, {db.WriteSynced, full}, {db.Write, normal}, {db.WriteSynced, full}, {db.WriteSynced, full}, {db.Write, normal}} {
		err := step.write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			var level int
			// Each text is new, so that the pragma is compiled, and answers, now.
			_, err := tx.One(ctx, fmt.Sprintf("pragma synchronous -- %d", i), nil, &level)
			if level != step.want {
				t.Errorf("step %d: synchronous is %d, want %d", i, level, step.want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// logRestarts returns how often the log has started over, which its header
// counts (sqlite.org/fileformat2.html#walformat), and the size of its file.
func logRestarts(t *testing.T, path string) (restarts uint32, size int64) {
	t.Helper()
	f, err := os.Open(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	header := make([]byte, 16)
	if _, err := f.ReadAt(header, 0); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(header[12:]), info.Size()
}

func TestTheLogStartsOverWhileWritingGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log.db")
	db := open(t, path)
	migrateItems(t, db)
	written := 0
	// write goes on until the log has started over so many times more.
	write := func(restarts uint32) {
		t.Helper()
		before, _ := logRestarts(t, path)
		for end := written + 10000; written < end; {
			if err := put(t.Context(), db, fmt.Sprint(written, strings.Repeat("x", 64<<10)), 1); err != nil {
				t.Fatal(err)
			}
			written++
			if now, _ := logRestarts(t, path); now-before >= restarts {
				return
			}
		}
		_, size := logRestarts(t, path)
		t.Fatalf("the log does not start over; it has %d bytes", size)
	}
	write(2)
	const limit = 64 << 20
	err := db.Read(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		var n int
		if _, err := tx.One(ctx, "select count(*) from items", nil, &n); err != nil || n != written {
			t.Errorf("%d rows are there, want %d, %v", n, written, err)
		}
		// What is written while this reads cannot be copied.
		for size := int64(0); size < limit+limit/4; _, size = logRestarts(t, path) {
			if err := put(t.Context(), db, fmt.Sprint(written, strings.Repeat("x", 64<<10)), 1); err != nil {
				return err
			}
			written++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write(1)
	if _, size := logRestarts(t, path); size > limit {
		t.Errorf("the log started over and still has %d bytes", size)
	}
	if n := count(t, db); n != written {
		t.Errorf("%d rows are there, want %d", n, written)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("%d bytes of log are left after the close", info.Size())
	}
	if n := count(t, open(t, path)); n != written {
		t.Errorf("%d rows are there after opening again, want %d", n, written)
	}
}
