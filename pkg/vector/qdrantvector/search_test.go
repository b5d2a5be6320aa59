package qdrantvector

import (
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
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
		version, certain := r.liveVersion(c.after, c.before, now)
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
		return found{Hit: vector.Hit{Ref: corpus.ChunkRef{Tenant: "t", Document: document, Version: version}}}
	}
	heads := map[string]*head{"a": {Live: "v2", Revision: 5, Flipped: old}, "b": {Live: "v1", Revision: 2, Flipped: old}}
	leg := []found{hit("a", "v1"), hit("b", "v1"), hit("a", "v2")}
	for depth, certain := range map[int]bool{3: false, 4: true} {
		r := &run{
			Store: &Store{cfg: Config{Grace: time.Second}, now: func() time.Time { return now }}, depth: depth,
			known: make(map[string]reading), excluded: make(map[string]bool),
		}
		kept, _, sure := r.settle(heads, leg, nil, now)
		if len(kept) != 2 || kept[0].Ref.Document != "b" || kept[1].Ref.Version != "v2" || sure != certain {
			t.Errorf("depth %d: kept %v, certain %v", depth, kept, sure)
		}
		if r.excluded["a"] == certain || r.excluded["b"] || !certain && r.known["a"].Live != "v2" {
			t.Errorf("depth %d: excluded %v, known %v", depth, r.excluded, r.known)
		}
	}
}
