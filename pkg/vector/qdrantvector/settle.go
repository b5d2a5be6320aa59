package qdrantvector

import (
	"slices"
	"time"
)

// settle drops the hits of versions that are not live. It reports whether what
// is left is certain to be whole; if not, it remembers the heads for another round.
func (r *run) settle(heads map[string]*head, keyword, dense []found, at time.Time) (k, d []found, certain bool) {
	certain = true
	r.live = make(map[string]*head, len(heads))
	keep := make(map[*source]bool, len(heads))
	for _, leg := range [][]found{keyword, dense} {
		for _, f := range leg {
			if _, ok := keep[f.source]; ok {
				continue
			}
			document := f.source.document
			live, asked := r.live[document]
			if !asked {
				var sure bool
				live, sure = r.foundWhole(heads[document], r.known[document], at)
				r.live[document] = live
				certain = certain && sure
			}
			keep[f.source] = live.version() == f.source.version
		}
	}
	drop := func(leg []found) []found {
		kept := leg
		if dropped := func(f found) bool { return !keep[f.source] }; slices.ContainsFunc(leg, dropped) {
			kept = slices.DeleteFunc(slices.Clone(leg), dropped)
		}
		if len(leg) >= r.depth && len(kept) < min(len(leg), r.depth) {
			certain = false // better hits may have been cut off
		}
		return kept
	}
	k, d = drop(keyword), drop(dense)
	if !certain {
		for document, live := range r.live {
			_, again := r.known[document]
			if h := heads[document]; h != nil && (again || r.unsettled(h) || h.Live != live.version()) {
				r.known[document] = reading{h, at}
			}
		}
		r.leaveOut(heads, at, keyword, dense)
	}
	return k, d, certain
}

// leaveOut lets the next round not find again what this one has dropped.
func (r *run) leaveOut(heads map[string]*head, at time.Time, legs ...[]found) {
	for _, leg := range legs {
		for _, f := range leg {
			document := f.source.document
			if h := heads[document]; h != nil && h.Live != f.source.version {
				r.known[document], r.excluded[document] = reading{h, at}, true
			}
		}
	}
}

// unsettled reports whether a document may have gone live after the search began.
func (r *run) unsettled(h *head) bool {
	return h.Flipped > r.now().Add(-clockSkew).UnixMilli()
}

// foundWhole returns the head that says which version of a document the legs
// have found whole, nil for none, from the head as it is after them and as it
// was before, if that is known; and whether that is certain.
func (r *run) foundWhole(after *head, before reading, at time.Time) (live *head, certain bool) {
	switch {
	case after == nil:
		return nil, false
	case after.Live == "":
		return nil, true
	case before.head == nil:
		return after, !r.unsettled(after)
	}
	// What was live before the legs is left alone for the grace.
	certain = before.Revision == after.Revision || at.Sub(before.at) < r.cfg.Grace
	if before.Live == "" {
		return nil, certain
	}
	return before.head, certain
}
