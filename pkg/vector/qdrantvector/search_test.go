package qdrantvector

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
)

// TestWhatTheLegsHaveFoundWhole goes through what may have happened to a
// document while a search ran.
func TestWhatTheLegsHaveFoundWhole(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(live string, revision int64, flipped time.Duration) *head {
		return &head{Live: live, Revision: revision, Flipped: now.Add(-flipped).UnixMilli()}
	}
	read := func(h *head, ago time.Duration) reading { return reading{h, now.Add(-ago)} }
	r := &run{Store: &Store{cfg: Config{Grace: time.Second}, now: func() time.Time { return now }}}
	for name, c := range map[string]struct {
		after   *head
		before  reading
		version string
		certain bool
	}{
		"live for long":                         {after: at("v1", 3, time.Minute), version: "v1", certain: true},
		"went live just now":                    {after: at("v1", 3, time.Second), version: "v1"},
		"a clock that is ahead":                 {after: at("v1", 3, -time.Second), version: "v1"},
		"deleted":                               {after: at("", 4, 0), certain: true},
		"deleted after it was known":            {after: at("", 4, 0), before: read(at("v1", 3, 0), 0), certain: true},
		"no head":                               {},
		"known and unchanged":                   {after: at("v1", 3, 0), before: read(at("v1", 3, 0), time.Hour), version: "v1", certain: true},
		"replaced within the grace":             {after: at("v2", 4, 0), before: read(at("v1", 3, 0), 900*time.Millisecond), version: "v1", certain: true},
		"replaced, and perhaps swept":           {after: at("v2", 4, 0), before: read(at("v1", 3, 0), 1100*time.Millisecond), version: "v1"},
		"not live yet when the search began":    {after: at("v1", 4, 0), before: read(at("", 3, 0), 0), certain: true},
		"attributes changed within a long time": {after: at("v1", 4, time.Hour), before: read(at("v1", 3, time.Hour), time.Minute), version: "v1"},
	} {
		live, certain := r.foundWhole(c.after, c.before, now)
		version := live.version()
		if version != c.version || certain != c.certain {
			t.Errorf("%s: %q, certain %v; want %q, %v", name, version, certain, c.version, c.certain)
		}
	}
}

// TestVersionsThatAreNotLiveAreDropped checks that a full leg that loses hits is asked again without them.
func TestVersionsThatAreNotLiveAreDropped(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old := now.Add(-time.Hour).UnixMilli()
	hit := func(document, version string) found {
		return found{point: &point{source: &source{document: document, version: version}}}
	}
	heads := map[string]*head{"a": {Live: "v2", Revision: 5, Flipped: old}, "b": {Live: "v1", Revision: 2, Flipped: old}}
	leg := []found{hit("a", "v1"), hit("b", "v1"), hit("a", "v2")}
	for depth, certain := range map[int]bool{3: false, 4: true} {
		r := &run{
			Store: &Store{cfg: Config{Grace: time.Second}, now: func() time.Time { return now }}, depth: depth,
			known: make(map[string]reading), excluded: make(map[string]bool),
		}
		kept, _, sure := r.settle(heads, leg, nil, now)
		if len(kept) != 2 || kept[0].source.document != "b" || kept[1].source.version != "v2" || sure != certain {
			t.Errorf("depth %d: kept %v, certain %v", depth, kept, sure)
		}
		if r.excluded["a"] == certain || r.excluded["b"] || !certain && r.known["a"].Live != "v2" {
			t.Errorf("depth %d: excluded %v, known %v", depth, r.excluded, r.known)
		}
	}
}

// TestFusionIsThatOfEveryStore compares with [vector.Fuse], ties included.
func TestFusionIsThatOfEveryStore(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	scope, err := corpus.NewScope("t")
	if err != nil {
		t.Fatal(err)
	}
	points := make([]point, 60)
	for i := range points {
		points[i] = point{id: uuid.New(), ordinal: int64(i % 7), source: &source{fmt.Sprint("d", i/7), "v"}}
	}
	legFrom := func(dense bool) []found {
		some := make([]point, 0, len(points))
		for _, i := range rng.Perm(len(points))[:rng.IntN(len(points))] {
			p := points[i]
			p.score = float32(rng.IntN(8)) / 8
			some = append(some, p)
		}
		return legOf(some, dense)
	}
	for range 500 {
		r := &run{depth: 1 + rng.IntN(50), foreign: rng.IntN(2) == 0, query: vector.Query{
			Scope: scope, Mode: vector.Hybrid, Limit: 1 + rng.IntN(20),
			Fusion: embed.Fusion{Method: []embed.FusionMethod{embed.ScaledMax, embed.MinMax, embed.RRF}[rng.IntN(3)], DenseWeight: .4, ForeignDenseWeight: .7},
		}}
		keyword, dense := legFrom(false), legFrom(true)
		at, missing := r.meet(keyword, dense)
		cosines := make([]point, 0, len(missing))
		for _, id := range missing[:rng.IntN(len(missing)+1)] {
			cosines = append(cosines, point{id: id, score: rng.Float32()})
		}
		at.addCosines(keyword, cosines)
		hits := func(leg []found, dense bool) []vector.Hit {
			var out []vector.Hit
			for _, f := range leg[:min(len(leg), r.depth)] {
				c := vector.Candidate{Keyword: f.score, Dense: f.cosine, Score: f.score}
				if dense {
					c.Keyword = math.NaN()
				}
				out = append(out, r.hit(ranked{f.point, c}))
			}
			return out
		}
		want := vector.Fuse(r.query.Fusion, r.foreign, hits(keyword, false), hits(dense, true), r.query.Limit)
		if diff := cmp.Diff(want, r.rank(keyword, dense), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%+v (-want +got):\n%s", r.query.Fusion, diff)
		}
	}
}
