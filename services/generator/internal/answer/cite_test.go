package answer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/answer"
	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

func sources() []corpus.Passage {
	page := 7
	return []corpus.Passage{
		{ID: "a.v.0", DocumentID: "a", Version: "v", Title: "A", PageStart: &page, CharStart: 10, Text: "Übung. Das Archiv öffnet um neun Uhr. Es hat 42 Plätze."},
		{ID: "b.v.0", DocumentID: "b", Version: "v", Title: "B", CharStart: 0, Text: "A copy costs 30 cents. The archive was founded in 1887 by Anna Weber."},
	}
}

type cited struct {
	Marker     int
	Quote      string
	Start, End int
	Supported  bool
}

func cite(t *testing.T, c *answer.Checker, text string) []cited {
	t.Helper()
	var out []cited
	for _, x := range c.Check(t.Context(), "", text, sources()) {
		out = append(out, cited{x.Marker, x.Quote, x.CharStart, x.CharEnd, x.Supported})
		p := sources()[x.Marker-1]
		if got := string([]rune(p.Text)[x.CharStart-p.CharStart : x.CharEnd-p.CharStart]); got != x.Quote {
			t.Errorf("at the offsets stands %q, the quote is %q", got, x.Quote)
		}
		if (x.Page == nil) != (p.PageStart == nil) {
			t.Errorf("page %v, want %v", x.Page, p.PageStart)
		}
	}
	return out
}

func TestCheckCitations(t *testing.T) {
	t.Parallel()
	open := cited{1, "Das Archiv öffnet um neun Uhr.", 17, 47, true}
	copies := cited{2, "A copy costs 30 cents.", 0, 22, true}
	founded := cited{2, "The archive was founded in 1887 by Anna Weber.", 23, 69, true}
	not := func(c cited) cited { c.Supported = false; return c }
	for name, tt := range map[string]struct {
		text string
		want []cited
	}{
		"none":                         {"Nothing is cited.", nil},
		"before the full stop":         {"Das Archiv öffnet um neun Uhr [1].", []cited{open}},
		"behind the full stop":         {"Das Archiv öffnet um neun Uhr. [1]", []cited{open}},
		"behind, and another sentence": {"A copy costs 30 cents. [2] Anna Weber founded the archive in 1887. [2]", []cited{copies, founded}},
		"two clauses":                  {"A copy costs 30 cents [2], and Anna Weber founded the archive in 1887 [2].", []cited{copies, founded}},
		"said twice":                   {"A copy costs 30 cents [2]. Indeed, a copy costs 30 cents [2].", []cited{copies}},
		"at the beginning of a line":   {"[2] A copy costs 30 cents.", []cited{copies}},
		"a list":                       {"- A copy costs 30 cents [2]\n- Das Archiv öffnet um neun Uhr [1]", []cited{copies, open}},
		"the wrong source":             {"Das Archiv öffnet um neun Uhr [1][2].", []cited{open, not(founded)}},
		"a wrong number":               {"A copy costs 35 cents [2].", []cited{not(copies)}},
		"in code":                      {"```\na[1]\n```\nA copy costs 30 cents [2].", []cited{copies}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, cite(t, answer.NewChecker(lexical.New(), nil), tt.text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// same says that all texts mean the same, or fails.
type same struct {
	model string
	err   error
	calls *int
}

func (s same) Profile() embed.Profile { return embed.Profile{Model: s.model, Dimensions: 1} }

func (s same) Embed(_ context.Context, _ embed.Purpose, texts []string) ([][]float32, error) {
	*s.calls++
	if s.err != nil {
		return nil, s.err
	}
	out := make([][]float32, len(texts))
	for i := range out {
		out[i] = []float32{1}
	}
	return out, nil
}

func TestMeaningDecidesWhereWordsDoNot(t *testing.T) {
	t.Parallel()
	// Two of five content words are there, in another wording.
	const text = "For each copied sheet visitors pay 30 cents [2]."
	calls := 0
	for name, tt := range map[string]struct {
		embedder embed.Embedder
		want     bool
	}{
		"nobody is asked": {nil, false},
		"it means that":   {same{evidence.MeasuredModel, nil, &calls}, true},
		"it fails":        {same{evidence.MeasuredModel, errors.New("away"), &calls}, false},
		"not measured":    {same{"another", nil, &calls}, false},
	} {
		got := cite(t, answer.NewChecker(lexical.New(), tt.embedder), text)
		if len(got) != 1 || got[0].Supported != tt.want {
			t.Errorf("%s: %+v, want %v", name, got, tt.want)
		}
	}
	if calls != 2 {
		t.Errorf("asked %d times, want 2", calls)
	}
	// Numbers are not a matter of meaning.
	if got := cite(t, answer.NewChecker(lexical.New(), same{evidence.MeasuredModel, nil, &calls}), "For each copied sheet visitors pay 35 cents [2]."); got[0].Supported {
		t.Errorf("%+v", got)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("Das Archiv öffnet [1]. A copy [2][1].")
	f.Add("[1]\n[2]\n\n- [1] x")
	f.Fuzz(func(t *testing.T, text string) {
		from := sources()
		for _, c := range answer.NewChecker(lexical.New(), nil).Check(t.Context(), "why?", text, from) {
			p := from[c.Marker-1]
			if got := string([]rune(p.Text)[c.CharStart-p.CharStart : c.CharEnd-p.CharStart]); got != c.Quote {
				t.Fatalf("at the offsets stands %q, the quote is %q", got, c.Quote)
			}
		}
	})
}
