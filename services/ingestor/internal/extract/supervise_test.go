package extract

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
)

// tight are limits that a test can wait for; what must not break them gets generous ones.
var tight = Limits{Time: generous, PageTime: 700 * time.Millisecond, Memory: 96 << 20} //nolint:gochecknoglobals // a constant of the tests

func TestBadPagesAreSkippedAndTheOthersKept(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ line, why string }{
		{"hang", "page 2 could not be read: it takes longer than 700ms"},
		{"crash", "page 2 could not be read: it is built in a way that breaks the reader"},
		{"memory", "page 2 could not be read: it needs more than 96 MB of memory"},
		{"one allocation", "page 2 could not be read: it needs more than 96 MB of memory"},
		{"exit", "page 2 could not be read: it is built in a way that breaks the reader"},
		{"garbage", "page 2 could not be read: it is built in a way that breaks the reader"},
		{"error", "page 2 could not be read: it is damaged"},
	} {
		t.Run(tc.line, func(t *testing.T) {
			t.Parallel()
			limits := tight
			if tc.line != "hang" {
				limits.PageTime = generous
			}
			src := Source{File: file(t, script("one", tc.line, "three", "blank", "five"))}
			got, sum, err := run(t, extractor(t, limits), src)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"one", "three", "five"}, got); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
			want := Summary{MediaType: PDF, Title: "a script", Pages: 5, Warnings: []string{tc.why}}
			if diff := cmp.Diff(want, sum); diff != "" {
				t.Errorf("summary (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLastPageMayFail(t *testing.T) {
	t.Parallel()
	got, sum, err := run(t, extractor(t, Limits{}), Source{File: file(t, script("one", "crash"))})
	if err != nil || len(got) != 1 || len(sum.Warnings) != 1 {
		t.Errorf("pages %v, summary %+v, error %v", got, sum, err)
	}
}

func TestRestartsAreBounded(t *testing.T) {
	t.Parallel()
	limits := Limits{Memory: tight.Memory, Restarts: 2}
	got, sum, err := run(t, extractor(t, limits), Source{File: file(t, script("one", "crash", "two", "crash", "crash", "six"))})
	wantFault(t, err, "extraction_crashed")
	if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	if len(sum.Warnings) != 3 {
		t.Errorf("warnings: %q", sum.Warnings)
	}
	limits.Restarts = -1
	_, _, err = run(t, extractor(t, limits), Source{File: file(t, script("memory", "two"))})
	wantFault(t, err, "extraction_memory")
}

func TestDocumentThatHangsBeforeItsPagesFails(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, extractor(t, tight), Source{File: file(t, script("open hangs"))})
	wantFault(t, err, "extraction_timeout")
}

func TestTimeOfTheWholeIsBounded(t *testing.T) {
	t.Parallel()
	limits := Limits{Time: 700 * time.Millisecond, PageTime: generous}
	_, _, err := run(t, extractor(t, limits), Source{File: file(t, script("one", "hang", "three"))})
	wantFault(t, err, "extraction_timeout")
}

// TestOnlyTheChildsTimeCounts runs on a clock of its own: of the time that is
// spent waiting for the child, a page may take five seconds and the whole eight.
func TestOnlyTheChildsTimeCounts(t *testing.T) {
	t.Parallel()
	limits := Limits{PageTime: 5 * time.Second, Time: 8 * time.Second}
	for _, tc := range []struct {
		name     string
		waits    []time.Duration
		consumer time.Duration
		want     error
	}{
		{"slow consumer", []time.Duration{4 * time.Second, 4 * time.Second, 4 * time.Second}, time.Hour, nil},
		{"in time", []time.Duration{4 * time.Second, 3 * time.Second}, 0, nil},
		{"a page too long", []time.Duration{time.Second, 6 * time.Second}, 0, errPageTime},
		{"the whole too long", []time.Duration{4 * time.Second, 3 * time.Second, 2 * time.Second}, 0, errTime},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				var cause error
				var wg sync.WaitGroup
				wg.Go(func() {
					out := newFrameWriter(w)
					for _, wait := range tc.waits {
						<-time.After(wait)
						if err := errors.Join(out.write(framePage, Page{Text: "x"}), out.flush()); err != nil {
							return // killed
						}
					}
					if err := errors.Join(out.write(frameEnd, openedBody{}), out.flush()); err != nil && tc.want == nil {
						t.Errorf("write the end: %v", err)
					}
				})
				s := &sink{maxBytes: 100, emit: func(Page) error {
					<-time.After(tc.consumer)
					return nil
				}}
				kill := func(err error) {
					cause = err
					if err := w.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				}
				err := (&Extractor{limits: limits}).consume(&process{stdout: r}, &progress{left: limits.Time}, s, kill)
				if cause != tc.want || (err == nil) != (tc.want == nil) { //nolint:errorlint // the very cause
					t.Errorf("killed for %v, want %v; error %v", cause, tc.want, err)
				}
				wg.Wait()
			})
		})
	}
}

func TestChildKilledByOthersIsTriedAgain(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, extractor(t, Limits{}), Source{File: file(t, script("one", "killed"))})
	if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "extraction_killed" {
		t.Errorf("error is %v", err)
	}
}

func TestChildSeesNothingOfTheEnvironment(t *testing.T) {
	t.Parallel()
	got, _, err := run(t, extractor(t, Limits{}), Source{File: file(t, script("environment"))})
	if err != nil {
		t.Fatal(err)
	}
	for variable := range strings.FieldsSeq(strings.TrimPrefix(got[0], "environment: ")) {
		name, _, _ := strings.Cut(variable, "=")
		if name != "GOMEMLIMIT" && name != "GOMAXPROCS" && name != "GOTRACEBACK" {
			t.Errorf("the child has %s", name)
		}
	}
}

func TestCancelStopsAndReapsTheChild(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("shutting down")
	pid := 0
	_, err := extractor(t, Limits{}).Extract(ctx, Source{File: file(t, script("pid", "hang"))}, func(p Page) error {
		var err error
		pid, err = strconv.Atoi(p.Text)
		cancel(stop)
		return err
	})
	if !errors.Is(err, stop) || fault.Is(err, fault.Permanent) {
		t.Errorf("error is %v", err)
	}
	wantGone(t, pid)
}

func TestErrorOfTheConsumerStopsTheChild(t *testing.T) {
	t.Parallel()
	stop := errors.New("the queue is full")
	pid := 0
	_, err := extractor(t, Limits{}).Extract(t.Context(), Source{File: file(t, script("pid", "hang"))}, func(p Page) error {
		var err error
		if pid, err = strconv.Atoi(p.Text); err != nil {
			return err
		}
		return stop
	})
	if err != stop { //nolint:errorlint // it must come back as it is
		t.Errorf("error is %v", err)
	}
	wantGone(t, pid)
}

func TestErrorOfTheConsumerComesBackAsItIsForText(t *testing.T) {
	t.Parallel()
	stop := errors.New("the queue is full")
	_, err := extractor(t, Limits{}).Extract(t.Context(), Source{File: file(t, "some text")}, func(Page) error { return stop })
	if err != stop { //nolint:errorlint // it must come back as it is
		t.Errorf("error is %v", err)
	}
}

// wantGone checks that no process, not even a dead one, has the id.
func wantGone(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, 0); pid == 0 || !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v, want it gone", pid, err)
	}
}

func TestChildEndsWithItsParent(t *testing.T) {
	t.Parallel()
	e := extractor(t, Limits{})
	c := startChild(t, e, Source{File: file(t, script("hang"))}, request{MediaType: PDF, FirstPage: 1, Limits: e.limits})
	if err := c.stdin.Close(); err != nil { // as the kernel does when the parent dies
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- c.cmd.Wait() }()
	select {
	case <-exited:
	case <-time.After(generous):
		t.Fatal("the child lives on")
	}
	if code := c.cmd.ProcessState.ExitCode(); code != exitOrphaned {
		t.Errorf("exit code %d", code)
	}
}

func TestChildrenAreBoundedAndWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	e, err := New(Limits{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	busy, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	first := Source{File: file(t, script("one"))}
	wg.Go(func() {
		_, err := e.Extract(t.Context(), first, func(Page) error {
			close(busy)
			<-release
			return nil
		})
		if err != nil {
			t.Errorf("first: %v", err)
		}
	})
	<-busy
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = e.Extract(ctx, Source{File: file(t, script("two"))}, func(Page) error {
		t.Error("a second child ran")
		return nil
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	close(release)
	wg.Wait()
}

func TestTooManyPagesAndTooMuchTextAreRefused(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, extractor(t, Limits{Pages: 2}), Source{File: file(t, script("1", "2", "3"))})
	wantFault(t, err, "too_many_pages")
	_, _, err = run(t, extractor(t, Limits{TextBytes: 10}), Source{File: file(t, script("12345678", "12345678"))})
	wantFault(t, err, "too_much_text")
	_, _, err = run(t, extractor(t, Limits{Bytes: 10}), Source{File: file(t, script("1"))})
	wantFault(t, err, "too_large")
}

func TestDocumentsWithoutReadablePagesFail(t *testing.T) {
	t.Parallel()
	e := extractor(t, Limits{})
	_, _, err := run(t, e, Source{File: file(t, script("blank", "blank"))})
	wantFault(t, err, "no_text")
	_, _, err = run(t, e, Source{File: file(t, script("error", "blank"))})
	wantFault(t, err, "unreadable_document")
}

func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	lines := []string{"one"}
	for range 50 {
		lines = append(lines, "error")
	}
	_, sum, err := run(t, extractor(t, Limits{}), Source{File: file(t, script(lines...))})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(sum.Warnings); n != maxWarnings+1 || sum.Warnings[n-1] != "and 30 more like these" {
		t.Errorf("%d warnings, the last %q", n, sum.Warnings[n-1])
	}
}
