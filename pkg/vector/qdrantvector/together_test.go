package qdrantvector_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
)

// sharing counts the requests of searches, and fails those of several while it is told to.
type sharing struct {
	shared, failed atomic.Int64
	fail           atomic.Bool
}

// ownQueries is how many queries one search has in a request at most.
const ownQueries = 2

func (s *sharing) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if batch, ok := req.(*qdrant.QueryBatchPoints); ok && len(batch.GetQueryPoints()) > ownQueries {
		s.shared.Add(1)
		if s.fail.Load() {
			s.failed.Add(1)
			return nil, status.Error(codes.InvalidArgument, "one of these is wrong")
		}
	}
	return next(ctx, req)
}

// TestSearchesThatShareRequestsFindWhatIsTheirs has tenants search at the same
// time, each for what it alone has, and some with a filter that hides it; while
// requests of several searches are refused, too.
func TestSearchesThatShareRequestsFindWhatIsTheirs(t *testing.T) {
	t.Parallel()
	const tenants = 8
	server := &sharing{}
	s := open(t, config(qdranttest.Start(t, qdranttest.Options{Intercept: server.intercept})))
	queries := make([]vector.Query, 2*tenants)
	want := make([][]vector.Hit, len(queries))
	for n := range tenants {
		doc := documentOf(fmt.Sprint("d", n))
		doc.Tenant, doc.ACL = fmt.Sprint("t", n), []string{"group:x"}
		live(t, s, doc, fmt.Sprint("a fox of ", n), "a dog", "a fox and a dog")
		for i, principals := range [][]string{{"group:x"}, {"group:y"}} {
			scope, err := corpus.NewScope(doc.Tenant, principals...)
			if err != nil {
				t.Fatal(err)
			}
			queries[2*n+i] = vector.Query{
				Scope: scope, Mode: vector.Hybrid, Text: fmt.Sprint("fox ", n), Dense: pointsOf("a fox")[0].Dense, Limit: 1 + n%3,
				Fusion: embed.Fusion{Method: embed.ScaledMax, DenseWeight: .4, ForeignDenseWeight: .4},
			}
		}
	}
	s.AdvanceClock(time.Minute)
	for i, q := range queries {
		var err error
		if want[i], err = s.Search(t.Context(), q); err != nil || len(want[i]) == 0 != (i%2 == 1) {
			t.Fatalf("alone: %v, %v", want[i], err)
		}
	}
	for _, fail := range []bool{false, true} {
		server.fail.Store(fail)
		server.shared.Store(0)
		for until := time.Now().Add(30 * time.Second); server.shared.Load() < 5; {
			if time.Now().After(until) {
				t.Fatal("searches do not share requests")
			}
			var wait sync.WaitGroup
			for i, q := range queries {
				wait.Go(func() {
					if got, err := s.Search(t.Context(), q); err != nil || !cmp.Equal(want[i], got) {
						t.Errorf("search %d: %v\n%s", i, err, cmp.Diff(want[i], got))
					}
				})
			}
			wait.Wait()
		}
		if got := server.failed.Load(); got > 0 != fail {
			t.Errorf("%d requests failed", got)
		}
	}
}
