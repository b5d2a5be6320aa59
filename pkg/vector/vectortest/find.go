package vectortest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

func equals(key string, values ...any) corpus.Filter {
	return corpus.Filter{{Key: key, AnyOf: values}}
}

func principals(t *testing.T, f fixture) {
	for id, acl := range map[string][]string{
		"public": nil, "star": {corpus.Public}, "x": {"group:x"}, "xy": {"group:y", "group:x"}, "nobody": {},
	} {
		doc := document(id)
		doc.ACL = acl
		f.live(t, doc, "the same fox")
	}
	for who, c := range map[string]struct{ principals, want []string }{
		"a stranger":    {nil, []string{"public.v1.0", "star.v1.0"}},
		"x":             {[]string{"group:x"}, []string{"public.v1.0", "star.v1.0", "x.v1.0", "xy.v1.0"}},
		"y":             {[]string{"group:y", "z"}, []string{"public.v1.0", "star.v1.0", "xy.v1.0"}},
		"another group": {[]string{"group:"}, []string{"public.v1.0", "star.v1.0"}},
	} {
		for _, mode := range []vector.Mode{vector.Hybrid, vector.Keyword, vector.Dense} {
			q := vector.Query{Scope: scope(t, "t", c.principals...), Mode: mode, Text: "fox", Dense: Vector("fox")}
			same(t, who+", "+string(mode), c.want, sorted(ids(f.search(t, q))))
		}
	}
}

func filters(t *testing.T, f fixture) {
	for id, metadata := range map[string]map[string]any{
		"a": {"lang": "en", "year": 2020.0, "draft": false},
		"b": {"lang": "de", "year": 2021.0, "draft": true},
		"c": {"lang": "fr", "year": "2020"},
		"d": nil,
	} {
		doc := document(id)
		doc.Metadata = metadata
		f.live(t, doc, "the same fox")
	}
	low, high := 2020.0, 2020.5
	for name, c := range map[string]struct {
		filter corpus.Filter
		want   []string
	}{
		"none":             {nil, []string{"a.v1.0", "b.v1.0", "c.v1.0", "d.v1.0"}},
		"a string":         {equals("lang", "en"), []string{"a.v1.0"}},
		"any of":           {equals("lang", "en", "fr", "xx"), []string{"a.v1.0", "c.v1.0"}},
		"a number":         {equals("year", 2020.0), []string{"a.v1.0"}},
		"a boolean":        {equals("draft", true), []string{"b.v1.0"}},
		"at least":         {corpus.Filter{{Key: "year", GTE: &low}}, []string{"a.v1.0", "b.v1.0"}},
		"between":          {corpus.Filter{{Key: "year", GTE: &low, LTE: &high}}, []string{"a.v1.0"}},
		"both conditions":  {append(equals("lang", "en", "de"), equals("draft", true)...), []string{"b.v1.0"}},
		"an absent key":    {equals("author", "x"), []string{}},
		"an injected name": {equals("lang", `en" or 1=1 --`), []string{}},
	} {
		for _, mode := range []vector.Mode{vector.Hybrid, vector.Keyword, vector.Dense} {
			q := vector.Query{Scope: scope(t, "t"), Mode: mode, Text: "fox", Dense: Vector("fox"), Filter: c.filter}
			same(t, name+", "+string(mode), c.want, sorted(ids(f.search(t, q))))
		}
	}
}

func collections(t *testing.T, f fixture) {
	for _, name := range []string{"c", "d", "e"} {
		doc := document("in-" + name)
		doc.Collection = name
		f.live(t, doc, "the same fox")
	}
	for _, c := range []struct{ searched, want []string }{
		{nil, []string{"in-c.v1.0", "in-d.v1.0", "in-e.v1.0"}},
		{[]string{"d"}, []string{"in-d.v1.0"}},
		{[]string{"e", "c", "e", "unknown"}, []string{"in-c.v1.0", "in-e.v1.0"}},
		{[]string{"unknown"}, []string{}},
	} {
		q := vector.Query{Scope: scope(t, "t"), Mode: vector.Hybrid, Text: "fox", Dense: Vector("fox"), Collections: c.searched}
		same(t, fmt.Sprint(c.searched), c.want, sorted(ids(f.search(t, q))))
	}
}

func modes(t *testing.T, f fixture) {
	doc := document("a")
	p := points("the quick fox", "something else entirely")
	p = append(p, vector.Point{Ordinal: 2, Text: "a fox without a vector"})
	f.upsert(t, doc, p)
	f.activate(t, doc)
	q := vector.Query{Scope: scope(t, "t"), Text: "fox", Dense: p[1].Dense}

	q.Mode = vector.Keyword
	hits := f.search(t, q)
	same(t, "keyword", []string{"a.v1.0", "a.v1.2"}, sorted(ids(hits)))
	for _, h := range hits {
		if h.Keyword == nil || *h.Keyword <= 0 || h.Score != *h.Keyword {
			t.Errorf("keyword hit %+v", h)
		}
	}
	q.Mode = vector.Dense
	hits = f.search(t, q)
	same(t, "dense", []string{"a.v1.1", "a.v1.0"}, ids(hits))
	for _, h := range hits {
		if h.Dense == nil || h.Keyword != nil || h.Score != *h.Dense {
			t.Errorf("dense hit %+v", h)
		}
	}
	q.Mode = vector.Hybrid
	hits = f.search(t, q)
	same(t, "hybrid", []string{"a.v1.0", "a.v1.1", "a.v1.2"}, sorted(ids(hits)))
	if !slices.IsSortedFunc(hits, vector.Compare) {
		t.Errorf("hybrid hits are not in order: %v", hits)
	}
	q.Limit = 1
	same(t, "limit", 1, len(f.search(t, q)))
	q.Limit, q.Dense = 10, nil
	same(t, "hybrid without a vector", []string{"a.v1.0", "a.v1.2"}, sorted(ids(f.search(t, q))))
}

func cosines(t *testing.T, f fixture) {
	var texts []string
	for i := range 300 {
		texts = append(texts, fmt.Sprintf("w%d x%d y%d", i%7, i%13, i))
	}
	f.live(t, document("a"), texts...)
	question := Vector("w3 x5 y200")
	hits := f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Dense, Dense: question, Limit: 200})
	same(t, "number of hits", 200, len(hits))
	exact := make([]float64, len(texts))
	for i, text := range texts {
		exact[i] = dot(question, Vector(text))
	}
	for _, h := range hits {
		if math.Abs(*h.Dense-exact[h.Ref.Ordinal]) > f.caps.Tolerance {
			t.Errorf("chunk %d: cosine %v, exactly %v", h.Ref.Ordinal, *h.Dense, exact[h.Ref.Ordinal])
		}
	}
	slices.Sort(exact)
	slices.Reverse(exact)
	if len(hits) == 200 && *hits[199].Dense < exact[199]-f.caps.Tolerance {
		t.Errorf("the last hit has %v, the 200th best chunk %v", *hits[199].Dense, exact[199])
	}
	if !slices.IsSortedFunc(hits, vector.Compare) {
		t.Error("hits are not in order")
	}
}

func keywordScores(t *testing.T, f fixture) {
	f.live(t, document("a"), "fox fox den", "den bear wolf") //nolint:dupword // how often a word occurs matters
	f.live(t, document("b"), "wolf wolf wolf")               //nolint:dupword // how often a word occurs matters
	dark := document("b")
	dark.Version = "v2"
	f.upsert(t, dark, points("fox fox fox")) //nolint:dupword // how often a word occurs matters
	hits := f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Keyword, Text: "foxes den"})
	want := map[string]float64{
		"a.v1.0": lexical.IDF(3, 1)*float64(lexical.Impact(2, 3)) + lexical.IDF(3, 2)*float64(lexical.Impact(1, 3)),
		"a.v1.1": lexical.IDF(3, 2) * float64(lexical.Impact(1, 3)),
	}
	same(t, "hits", []string{"a.v1.0", "a.v1.1"}, ids(hits))
	for _, h := range hits {
		if !f.caps.SharedIDF && math.Abs(h.Score-want[h.Ref.ID()]) > 1e-4 {
			t.Errorf("%s scores %v, want %v", h.Ref.ID(), h.Score, want[h.Ref.ID()])
		}
	}
}

// hybridCosines checks that a hit which only the keyword leg has among its
// best still comes with its cosine.
func hybridCosines(t *testing.T, f fixture) {
	texts := []string{"needle in a haystack"}
	for i := range 2 * vector.Depth {
		texts = append(texts, fmt.Sprintf("fox %d", i))
	}
	p := append(points(texts...), vector.Point{Ordinal: len(texts), Text: "needle without a vector"})
	f.upsert(t, document("a"), p)
	f.activate(t, document("a"))
	question := Vector("fox")
	hits := f.search(t, vector.Query{Scope: scope(t, "t"), Mode: vector.Hybrid, Text: "needle", Dense: question, Limit: 200})
	same(t, "number of hits", vector.Depth+2, len(hits))
	for _, h := range hits {
		vectorless := h.Ref.Ordinal == len(texts)
		switch {
		case vectorless != (h.Dense == nil):
			t.Errorf("chunk %d has the cosine %v", h.Ref.Ordinal, h.Dense)
		case !vectorless && math.Abs(*h.Dense-dot(question, p[h.Ref.Ordinal].Dense)) > f.caps.Tolerance:
			t.Errorf("chunk %d: cosine %v", h.Ref.Ordinal, *h.Dense)
		case (h.Keyword != nil) != (h.Ref.Ordinal == 0 || vectorless):
			t.Errorf("chunk %d: keyword score %v", h.Ref.Ordinal, h.Keyword)
		}
	}
}

func ties(t *testing.T, f fixture) {
	for _, id := range []string{"c", "a", "b"} {
		f.live(t, document(id), "the same fox", "the same fox")
	}
	want := []string{"a.v1.0", "a.v1.1", "b.v1.0", "b.v1.1", "c.v1.0"}
	for _, mode := range []vector.Mode{vector.Hybrid, vector.Keyword, vector.Dense} {
		q := vector.Query{Scope: scope(t, "t"), Mode: mode, Text: "fox", Dense: Vector("fox"), Limit: 5}
		same(t, string(mode), want, ids(f.search(t, q)))
	}
}

func filterBeforeCut(t *testing.T, f fixture) {
	for i := range 300 {
		doc := document(fmt.Sprintf("d%03d", i))
		doc.Metadata = map[string]any{"rare": i == 299}
		text := "fox fox fox" //nolint:dupword // how often a word occurs matters
		if i == 299 {
			text = "fox and many other words that make it a worse match than the rest"
		}
		f.live(t, doc, text)
	}
	for _, mode := range []vector.Mode{vector.Hybrid, vector.Keyword, vector.Dense} {
		q := vector.Query{Scope: scope(t, "t"), Mode: mode, Text: "fox", Dense: Vector("fox"), Filter: equals("rare", true)}
		same(t, string(mode), []string{"d299.v1.0"}, ids(f.search(t, q)))
	}
}

func noTerms(t *testing.T, f fixture) {
	f.live(t, document("a"), "the who and what of it", "fox")
	for _, text := range []string{"", "   ", "the of and", "?!", "unheard"} {
		same(t, text, []string{}, f.keyword(t, text))
		q := vector.Query{Scope: scope(t, "t"), Mode: vector.Hybrid, Text: text, Dense: Vector("fox")}
		same(t, "hybrid "+text, 2, len(f.search(t, q)))
	}
}
