package qdrantvector_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

// failing lets requests fail while it is armed.
type failing struct {
	err   atomic.Pointer[error]
	left  atomic.Int64
	seen  atomic.Int64
	block atomic.Bool
}

func (f *failing) arm(times int64, err error) {
	f.left.Store(times)
	f.err.Store(&err)
	f.seen.Store(0)
}

func (f *failing) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	f.seen.Add(1)
	if f.block.Load() {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if err := f.err.Load(); err != nil && f.left.Add(-1) >= 0 {
		if status.Code(*err) == codes.ResourceExhausted {
			if trailer := grpc.SetTrailer(ctx, metadata.Pairs("retry-after", "7")); trailer != nil {
				return nil, trailer
			}
		}
		return nil, *err
	}
	return next(ctx, req)
}

func TestServerErrorsAreClassified(t *testing.T) {
	t.Parallel()
	f := &failing{}
	s := open(t, config(qdranttest.Start(t, qdranttest.Options{Intercept: f.intercept})))
	doc := documentOf("a")
	live(t, s, doc, "a fox")
	for code, want := range map[codes.Code]struct {
		class fault.Class
		code  string
		calls int64
	}{
		codes.Unavailable:       {fault.Transient, "vector_store_unavailable", 4},
		codes.Unauthenticated:   {fault.Transient, "vector_store_denied", 1},
		codes.PermissionDenied:  {fault.Transient, "vector_store_denied", 1},
		codes.ResourceExhausted: {fault.Throttled, "vector_store_throttled", 1},
		codes.NotFound:          {fault.Transient, "index_missing", 1},
		codes.InvalidArgument:   {fault.Permanent, "vector_store_refused", 1},
		codes.Unimplemented:     {fault.Permanent, "vector_store_too_old", 1},
		codes.Internal:          {fault.Transient, "vector_store_failed", 1},
		codes.DeadlineExceeded:  {fault.Transient, "vector_store_failed", 1},
	} {
		f.arm(math.MaxInt64, status.Error(code, "on purpose"))
		_, err := s.Count(t.Context(), "t", "a", "v1")
		got, _ := fault.Public(err)
		if !fault.Is(err, want.class) || got != want.code || f.seen.Load() != want.calls {
			t.Errorf("%s: %v (%s) after %d calls", code, err, got, f.seen.Load())
		}
		if code == codes.ResourceExhausted && fault.RetryAfter(err) != 7*time.Second {
			t.Errorf("retry after %s", fault.RetryAfter(err))
		}
		f.arm(0, nil)
	}
}

func TestShortOutagesAreBridged(t *testing.T) {
	t.Parallel()
	f := &failing{}
	s := open(t, config(qdranttest.Start(t, qdranttest.Options{Intercept: f.intercept})))
	for i, call := range []func() error{
		func() error { return s.Upsert(t.Context(), documentOf("a"), pointsOf("a fox")) },
		func() error { return s.Activate(t.Context(), documentOf("a")) },
		func() error { return s.SetAttributes(t.Context(), documentOf("a")) },
		func() error { return s.Sweep(t.Context(), documentOf("a")) },
		func() error { return s.Ready(t.Context()) },
		func() error { hybrid(t, s, "fox"); return nil },
		func() error { return s.Delete(t.Context(), "t", "a", 1) },
	} {
		f.arm(3, status.Error(codes.Unavailable, "on purpose"))
		if err := call(); err != nil || f.left.Load() > 0 {
			t.Errorf("call %d: %v, %d outages left", i, err, f.left.Load())
		}
	}
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	f := &failing{}
	cfg := config(qdranttest.Start(t, qdranttest.Options{Intercept: f.intercept}))
	cfg.CallTimeout = 50 * time.Millisecond
	s := open(t, cfg)
	f.block.Store(true)
	defer f.block.Store(false)
	_, err := s.Count(t.Context(), "t", "a", "v1")
	if !fault.Is(err, fault.Transient) {
		t.Errorf("the call's own limit: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	// The server knows the limit, and may be the first to end the call.
	if _, err := s.Count(ctx, "t", "a", "v1"); err == nil || !strings.Contains(strings.ToLower(err.Error()), "deadline") {
		t.Errorf("the caller's limit: %v", err)
	}
}

// TestSearchesNeedTwoRequests counts them for documents that settled long ago.
func TestSearchesNeedTwoRequests(t *testing.T) {
	t.Parallel()
	f := &failing{}
	s := open(t, config(qdranttest.Start(t, qdranttest.Options{Intercept: f.intercept})))
	live(t, s, documentOf("a"), "a fox", "a dog")
	hybrid(t, s, "fox") // learns the language of the collection
	for _, c := range []struct {
		mode vector.Mode
		most int64
	}{{vector.Keyword, 4}, {vector.Dense, 4}, {vector.Hybrid, 4}} {
		f.arm(0, nil)
		searchBy(t, s, c.mode)
		if f.seen.Load() > c.most {
			t.Errorf("%s of a document that went live just now: %d requests", c.mode, f.seen.Load())
		}
	}
	s.AdvanceClock(time.Minute / 2)
	for _, mode := range []vector.Mode{vector.Keyword, vector.Dense, vector.Hybrid} {
		f.arm(0, nil)
		searchBy(t, s, mode)
		if f.seen.Load() != 2 {
			t.Errorf("%s: %d requests", mode, f.seen.Load())
		}
	}
}

func searchBy(t *testing.T, s vector.Store, mode vector.Mode) {
	t.Helper()
	scope, err := corpus.NewScope("t")
	if err != nil {
		t.Fatal(err)
	}
	hits, err := s.Search(t.Context(), vector.Query{Scope: scope, Mode: mode, Text: "fox", Dense: pointsOf("fox")[0].Dense, Limit: 5, Fusion: vectortest.Fusion()})
	if err != nil || len(hits) == 0 {
		t.Errorf("%s: %d hits, %v", mode, len(hits), err)
	}
}

// TestARestartIsSurvived stops the server under a store that is in use, and
// starts it again with what it had.
func TestARestartIsSurvived(t *testing.T) {
	t.Parallel()
	opts := qdranttest.Options{Journal: filepath.Join(t.TempDir(), "journal")}
	listen := func(address string) net.Listener {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := listen("127.0.0.1:0")
	address := l.Addr().String()
	server := qdranttest.StartOn(t, l, opts)
	s := open(t, config(address))
	live(t, s, documentOf("a"), "a fox")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if code, _ := fault.Public(s.Ready(t.Context())); code != "vector_store_unavailable" {
		t.Errorf("ready without a server: %s", code)
	}
	qdranttest.StartOn(t, listen(address), opts)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for s.Ready(t.Context()) != nil {
		select {
		case <-tick.C:
		case <-time.After(30 * time.Second):
			t.Fatal("the store does not find the server again")
		}
	}
	expect(t, "hits", []string{"a.v1.0"}, idsOf(hybrid(t, s, "fox")))
}

// BenchmarkSearch measures a hybrid search of few chunks that settled long
// ago: what the adapter, the protocol and two round trips cost, and little else.
func BenchmarkSearch(b *testing.B) {
	s := open(b, config(qdranttest.Start(b, qdranttest.Options{})))
	for i := range 20 {
		live(b, s, documentOf(fmt.Sprint("d", i)), "a fox", "a lazy dog", "a fox and a dog", "nothing of it", "den")
	}
	s.AdvanceClock(time.Minute / 2)
	hybrid(b, s, "fox den")
	b.ReportAllocs()
	for b.Loop() {
		hybrid(b, s, "fox den")
	}
}

// TestTermIDsRarelyCollide measures what 32 bits cost: numbers are terms as
// they are written, so that all of these are different terms.
func TestTermIDsRarelyCollide(t *testing.T) {
	t.Parallel()
	const terms = 1 << 20
	words, seen, collided := lexical.New(), make(map[uint32]struct{}, terms), 0
	var text strings.Builder
	for from := 0; from < terms; from += 1 << 10 {
		text.Reset()
		for i := range 1 << 10 {
			text.WriteString(number(from + i))
			text.WriteByte(' ')
		}
		a := words.Analyze(text.String())
		collided += 1<<10 - len(a.Terms)
		for _, term := range a.Terms {
			if _, ok := seen[term.ID]; ok {
				collided++
			}
			seen[term.ID] = struct{}{}
		}
	}
	expected := float64(terms) * float64(terms-1) / 2 / (1 << 32)
	t.Logf("%d of %d terms share an id with another; %.0f expected", collided, terms, expected)
	if math.Abs(float64(collided)-expected) > 5*math.Sqrt(expected) {
		t.Errorf("%d terms collide, %.0f expected", collided, expected)
	}
}

func number(n int) string {
	const base = 10_000_000
	digits := []byte("00000000")
	for i, rest := len(digits)-1, base+n; rest > 0; i, rest = i-1, rest/10 {
		digits[i] = byte('0' + rest%10)
	}
	return string(digits)
}
