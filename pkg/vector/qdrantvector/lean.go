package qdrantvector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/vector"
)

const (
	// leanAge is how long an answer is believed; writes of this process end it at once.
	leanAge = time.Minute
	// maxLeans bounds the cache.
	maxLeans = 4096
	// maxLeanValues bounds how many different values a collection's chunks may
	// have; those of the fewest chunks are left out beyond it.
	maxLeanValues = 8192
)

// leans remembers which collections are English.
type leans struct {
	mu    sync.Mutex
	known map[string]lean
}

type lean struct {
	foreign bool
	until   time.Time
}

func newLeans() *leans { return &leans{known: make(map[string]lean)} }

// leanName is the tenant, which has no spaces, and then the collections.
func leanName(tenant string, collections []string) string {
	sorted := slices.Clone(collections)
	slices.Sort(sorted)
	return strings.Join(append([]string{tenant}, slices.Compact(sorted)...), " ")
}

func (l *leans) get(name string, now time.Time) (foreign, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found, ok := l.known[name]
	return found.foreign, ok && now.Before(found.until)
}

func (l *leans) put(name string, foreign bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxLeans {
		clear(l.known)
	}
	l.known[name] = lean{foreign: foreign, until: now.Add(leanAge)}
}

func (l *leans) forget(tenant string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.known {
		if name == tenant || strings.HasPrefix(name, tenant+" ") {
			delete(l.known, name)
		}
	}
}

// foreign reports whether what the query searches is not English, as
// lexical.Foreign says of all its words: the server counts how many chunks
// have each value of 10·english − words, and the sum decides.
func (s *Store) foreign(ctx context.Context, q vector.Query) (bool, error) {
	if q.Fusion.DenseWeight == q.Fusion.ForeignDenseWeight {
		return false, nil
	}
	name := leanName(q.Scope.Tenant(), q.Collections)
	if foreign, ok := s.leans.get(name, s.now()); ok {
		return foreign, nil
	}
	answer, err := s.client.points().Facet(ctx, &qdrant.FacetCounts{
		CollectionName: s.names.alias, Key: leanKey, Filter: &qdrant.Filter{Must: population(q)},
		Limit: new(uint64(maxLeanValues)), Exact: new(true),
	})
	if err != nil {
		return false, fmt.Errorf("ask for the language of the collections: %w", err)
	}
	sum := int64(0)
	for _, hit := range answer.GetHits() {
		sum += hit.GetValue().GetIntegerValue() * int64(hit.GetCount())
	}
	s.leans.put(name, sum < 0, s.now())
	return sum < 0, nil
}
