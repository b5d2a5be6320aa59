package storm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// timeline is what happened when. It is safe for concurrent use.
type timeline struct {
	mu      sync.Mutex
	entries []entry
}

type entry struct {
	at   time.Time
	text string
}

func (l *timeline) addf(format string, args ...any) { l.note(time.Now(), fmt.Sprintf(format, args...)) }

func (l *timeline) note(at time.Time, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entry{at, text})
}

func (l *timeline) all() []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.entries)
}

// window is a fault from its beginning to the moment when its effects are over.
type window struct {
	name string
	// hits are the parts that it can have disturbed.
	hits       []string
	strokes    int
	begin, end time.Time
}

// journal is the faults of a storm. It is safe for concurrent use.
type journal struct {
	mu      sync.Mutex
	began   time.Time
	windows []*window
	counts  map[string]int
}

func newJournal() *journal { return &journal{began: time.Now(), counts: map[string]int{}} }

func (j *journal) open(f fault) *window {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := &window{name: f.kind + " (" + f.target + ")", hits: f.hits, strokes: max(f.strokes, 1), begin: time.Now()}
	j.windows = append(j.windows, w)
	j.counts[f.kind]++
	return w
}

func (j *journal) close(w *window) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w.end = time.Now()
}

// between returns the faults that touched a time, and one of the parts when any are named.
func (j *journal) between(from, to time.Time, parts ...string) []window {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []window
	for _, w := range j.windows {
		touches := len(parts) == 0 || slices.ContainsFunc(w.hits, func(h string) bool { return slices.Contains(parts, h) })
		if touches && w.begin.Before(to) && (w.end.IsZero() || w.end.After(from)) {
			out = append(out, *w)
		}
	}
	return out
}

func (j *journal) counted() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.counts)
}

// violation is a promise that was not kept.
type violation struct {
	// point is the number of the promise, see the package's documentation.
	point int
	text  string
	// own is the history of the document or chat, nil for none.
	own *timeline
}

// findings collects violations and what else is worth telling. It is safe for concurrent use.
type findings struct {
	mu         sync.Mutex
	violations []violation
	notes      map[string]int
}

func (f *findings) violatef(point int, own *timeline, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.violations = append(f.violations, violation{point, fmt.Sprintf(format, args...), own})
}

// count counts something that is told in the table.
func (f *findings) count(what string) { f.counts(what, 1) }

func (f *findings) counts(what string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.notes == nil {
		f.notes = map[string]int{}
	}
	f.notes[what] += n
}

// maxTold bounds the lines of a timeline that are printed.
const maxTold = 80

// story is the history of a violation with the faults of its time.
func (j *journal) story(own *timeline) string {
	if own == nil {
		return ""
	}
	entries := own.all()
	if len(entries) == 0 {
		return ""
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.at.Compare(b.at) })
	from, to := entries[0].at.Add(-time.Second), entries[len(entries)-1].at.Add(time.Second)
	for _, w := range j.between(from, to) {
		entries = append(entries, entry{w.begin, "    fault: " + w.name})
		if !w.end.IsZero() {
			entries = append(entries, entry{w.end, "    over:  " + w.name})
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return a.at.Compare(b.at) })
	if len(entries) > maxTold {
		entries = slices.Concat(entries[:maxTold/2], []entry{{entries[maxTold/2].at, "…"}}, entries[len(entries)-maxTold/2:])
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "  %9.3f s  %s\n", e.at.Sub(j.began).Seconds(), e.text)
	}
	return b.String()
}
