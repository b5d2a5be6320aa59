package reply

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func frame(stage Stage, attempt, seq int, typ Type, data string) Frame {
	return Frame{Request: "r", Stage: stage, Attempt: attempt, Seq: seq, Type: typ, Data: []byte(data)}
}

func fold(a *Assembler, frames ...Frame) []string {
	out := []string{}
	for _, f := range frames {
		for _, u := range a.Next(f) {
			out = append(out, strings.TrimSpace(string(u.Kind)+" "+string(u.Data)))
		}
	}
	return out
}

func TestFold(t *testing.T) {
	t.Parallel()
	sources := frame(Retrieve, 1, 1, Sources, "S")
	gen := func(attempt, seq int, typ Type, data string) Frame { return frame(Generate, attempt, seq, typ, data) }
	tests := map[string]struct {
		frames []Frame
		want   []string
	}{
		"an answer": {
			[]Frame{sources, gen(1, 1, Delta, "a"), gen(1, 2, Delta, "b"), gen(1, 3, Citation, "C"), gen(1, 4, Usage, "U"), gen(1, 5, End, "E")},
			[]string{"sources S", "delta a", "delta b", "citation C", "end E"},
		},
		"duplicates are ignored": {
			[]Frame{sources, sources, gen(1, 1, Delta, "a"), gen(1, 1, Delta, "a"), gen(1, 2, End, "E"), gen(1, 2, End, "E")},
			[]string{"sources S", "delta a", "end E"},
		},
		"keepalives are ignored": {
			[]Frame{gen(1, 0, KeepAlive, ""), gen(1, 1, Delta, "a"), gen(1, 1, KeepAlive, ""), gen(1, 2, End, "E")},
			[]string{"delta a", "end E"},
		},
		"a higher attempt starts over": {
			[]Frame{sources, gen(1, 1, Delta, "a"), gen(2, 1, Delta, "b"), gen(1, 2, Delta, "late"), gen(2, 2, End, "E")},
			[]string{"sources S", "delta a", "restart", "sources S", "delta b", "end E"},
		},
		"nothing shown, nothing to take back": {
			[]Frame{sources, gen(1, 1, Usage, "U"), gen(2, 1, Delta, "b"), gen(2, 2, End, "E")},
			[]string{"sources S", "delta b", "end E"},
		},
		"each attempt restarts once": {
			[]Frame{gen(1, 1, Delta, "a"), gen(2, 1, Delta, "b"), gen(3, 1, Delta, "c"), gen(3, 2, Error, "X")},
			[]string{"delta a", "restart", "delta b", "restart", "delta c", "error X"},
		},
		"a failure after a failed attempt": {
			[]Frame{sources, gen(1, 1, Delta, "a"), gen(2, 1, Error, "X")},
			[]string{"sources S", "delta a", "error X"},
		},
		"the retrieval fails": {
			[]Frame{frame(Retrieve, 2, 1, Error, "X"), sources, gen(1, 1, Delta, "a")},
			[]string{"error X"},
		},
		"the same sources again say nothing new": {
			[]Frame{sources, frame(Retrieve, 2, 1, Sources, "S"), frame(Retrieve, 3, 1, Sources, "T"), gen(1, 1, End, "E")},
			[]string{"sources S", "sources T", "end E"},
		},
		"sources after the generation began are ignored": {
			[]Frame{gen(1, 1, Delta, "a"), sources, frame(Retrieve, 2, 1, Error, "X"), gen(1, 2, End, "E")},
			[]string{"delta a", "end E"},
		},
		"nothing comes after the end": {
			[]Frame{gen(1, 1, End, "E"), gen(1, 2, Delta, "a"), gen(2, 1, Delta, "b"), gen(2, 2, Error, "X")},
			[]string{"end E"},
		},
		"a gap is told and healed": {
			[]Frame{gen(1, 1, Delta, "a"), gen(1, 3, Delta, "c"), gen(1, 1, Delta, "a"), gen(1, 2, Delta, "b"), gen(1, 3, Delta, "c"), gen(1, 4, End, "E")},
			[]string{"delta a", "lost", "delta b", "delta c", "end E"},
		},
		"an attempt whose beginning is missing": {
			[]Frame{gen(1, 1, Delta, "a"), gen(2, 2, Delta, "y"), gen(2, 1, Delta, "x"), gen(2, 2, Delta, "y"), gen(2, 3, End, "E")},
			[]string{"delta a", "lost", "restart", "delta x", "delta y", "end E"},
		},
		"the beginning is missing": {[]Frame{gen(1, 2, End, "E")}, []string{"lost"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a Assembler
			if diff := cmp.Diff(test.want, fold(&a, test.frames...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDeparts(t *testing.T) {
	t.Parallel()
	found, gen := frame(Retrieve, 1, 1, Sources, "S"), frame(Generate, 1, 1, Delta, "a")
	by := func(f Frame, work int64, writer string) Frame {
		f.Work, f.Writer = work, writer
		return f
	}
	tests := map[string]struct {
		before []Frame
		frame  Frame
		want   bool
	}{
		"the first":                 {nil, found, false},
		"the first to write":        {[]Frame{found}, gen, false},
		"the next":                  {[]Frame{found, gen}, frame(Generate, 1, 2, Delta, "b"), false},
		"the same again":            {[]Frame{found, gen}, gen, false},
		"a later one at first":      {nil, frame(Retrieve, 2, 1, Sources, "S"), true},
		"a later one to write":      {[]Frame{found}, frame(Generate, 3, 1, Delta, "a"), true},
		"a later one after another": {[]Frame{found, gen}, frame(Generate, 2, 1, Delta, "a"), true},
		"an older one":              {[]Frame{found, frame(Generate, 2, 1, Delta, "a")}, gen, true},
		"another message":           {[]Frame{found, by(gen, 7, "")}, by(gen, 8, ""), true},
		"another writer":            {[]Frame{found, by(gen, 7, "x")}, by(gen, 7, "y"), true},
		"other sources":             {[]Frame{found}, frame(Retrieve, 2, 1, Sources, "T"), true},
		"the same sources":          {[]Frame{found}, frame(Retrieve, 2, 1, Sources, "S"), false},
		"a sign of life":            {[]Frame{found, gen}, frame(Generate, 2, 0, KeepAlive, ""), false},
		"after the end":             {[]Frame{found, gen, frame(Generate, 1, 2, End, "E")}, frame(Generate, 2, 1, Delta, "a"), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a Assembler
			fold(&a, test.before...)
			if got := a.Departs(test.frame); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestTheAssemblerKeepsTheSources(t *testing.T) {
	t.Parallel()
	var a Assembler
	fold(&a, frame(Retrieve, 1, 1, Sources, `[1]`), frame(Generate, 1, 1, Delta, "wrong"), frame(Generate, 2, 1, Delta, "hello"))
	if a.Closed() || string(a.Sources()) != "[1]" {
		t.Errorf("closed %v, %s", a.Closed(), a.Sources())
	}
	fold(&a, frame(Generate, 2, 2, End, "{}"))
	if !a.Closed() {
		t.Error("not closed")
	}
}

// What several attempts write, in any order, any number of times, with
// frames missing: what a reader is told must always make sense, and given the
// whole stream afterwards the answer must be complete.
func TestFoldProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 1))
		stream, want := attempts(random)
		var a Assembler
		var shown strings.Builder
		ends := 0
		tell := func(f Frame) {
			for _, u := range a.Next(f) {
				if ends > 0 {
					t.Fatalf("seed %d: %s after the end", seed, u.Kind)
				}
				switch u.Kind {
				case Added:
					shown.Write(u.Data)
				case Restarted:
					shown.Reset()
				case Ended, Failed:
					ends++
				case Sourced, Cited, Lost:
				}
			}
		}
		for _, f := range mangle(random, stream) {
			tell(f)
		}
		for _, f := range stream {
			tell(f)
		}
		if ends != 1 || shown.String() != want {
			t.Fatalf("seed %d: %d ends, shown %q, want %q", seed, ends, shown.String(), want)
		}
	}
}

// attempts returns the frames of one to four attempts, of which only the last
// comes to an end, and the text of that one.
func attempts(random *rand.Rand) (stream []Frame, text string) {
	stream = append(stream, frame(Retrieve, 1, 1, Sources, "S"))
	last := 1 + random.IntN(4)
	for attempt := 1; attempt <= last; attempt++ {
		text = ""
		n := 1 + random.IntN(8)
		for seq := 1; seq <= n; seq++ {
			word := fmt.Sprintf("%d.%d ", attempt, seq)
			text += word
			stream = append(stream, frame(Generate, attempt, seq, Delta, word))
		}
		if attempt == last {
			stream = append(stream, frame(Generate, attempt, n+1, End, "E"))
		}
	}
	return stream, text
}

// mangle drops, repeats and exchanges frames; the end is not before the frames that it ends.
func mangle(random *rand.Rand, stream []Frame) []Frame {
	var out []Frame
	for _, f := range stream {
		if random.IntN(4) == 0 {
			continue
		}
		for range 1 + random.IntN(2) {
			out = append(out, f)
		}
	}
	for range len(out) / 3 {
		i, j := random.IntN(len(out)), random.IntN(len(out))
		out[i], out[j] = out[j], out[i]
	}
	return out
}

func TestTwoGatewaysTellTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 2))
		stream, _ := attempts(random)
		var live, resumed Assembler
		whole := fold(&live, stream...)
		var again []Frame // a reader that came back gets the first part once more
		cut := random.IntN(len(stream))
		again = append(append(again, stream[:cut]...), stream...)
		if diff := cmp.Diff(whole, fold(&resumed, again...)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}
