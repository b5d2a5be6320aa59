package vectortest

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

func badPoints(t *testing.T, f fixture) {
	nan, infinite := Vector("x"), Vector("x")
	nan[3] = float32(math.NaN())
	infinite[5] = float32(math.Inf(-1))
	for name, bad := range map[string]vector.Point{
		"short vector":     {Ordinal: 1, Text: "fox", Dense: Vector("x")[:Dimensions-1]},
		"long vector":      {Ordinal: 1, Text: "fox", Dense: append(Vector("x"), 0)},
		"empty vector":     {Ordinal: 1, Text: "fox", Dense: []float32{}},
		"NaN":              {Ordinal: 1, Text: "fox", Dense: nan},
		"infinity":         {Ordinal: 1, Text: "fox", Dense: infinite},
		"negative ordinal": {Ordinal: -1, Text: "fox", Dense: Vector("x")},
	} {
		err := f.Upsert(t.Context(), document("a"), append(points("a good fox"), bad))
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want an Invalid fault", name, err)
		}
	}
	f.count(t, "a", "v1", 0)
	for name, change := range map[string]func(*vector.Document){
		"no tenant":        func(d *vector.Document) { d.Tenant = "" },
		"no id":            func(d *vector.Document) { d.ID = "" },
		"dots in the id":   func(d *vector.Document) { d.ID = "../a" },
		"no collection":    func(d *vector.Document) { d.Collection = "" },
		"no version":       func(d *vector.Document) { d.Version = "" },
		"wildcard version": func(d *vector.Document) { d.Version = "*" },
	} {
		doc := document("a")
		change(&doc)
		if err := f.Upsert(t.Context(), doc, points("fox")); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want an Invalid fault", name, err)
		}
	}
	doc := document("a")
	doc.Metadata = map[string]any{"list": []string{"a"}}
	if err := f.Activate(t.Context(), doc); !fault.Is(err, fault.Invalid) {
		t.Errorf("metadata of a wrong type: %v, want an Invalid fault", err)
	}
}

func badQueries(t *testing.T, f fixture) {
	f.live(t, document("a"), "fox")
	good := vector.Query{Scope: scope(t, "t"), Mode: vector.Hybrid, Text: "fox", Dense: Vector("fox"), Limit: 1, Fusion: Fusion()}
	nan := Vector("x")
	nan[0] = float32(math.NaN())
	for name, change := range map[string]func(*vector.Query){
		"limit 0":            func(q *vector.Query) { q.Limit = 0 },
		"limit 201":          func(q *vector.Query) { q.Limit = 201 },
		"unknown mode":       func(q *vector.Query) { q.Mode = "fuzzy" },
		"no mode":            func(q *vector.Query) { q.Mode = "" },
		"short vector":       func(q *vector.Query) { q.Dense = q.Dense[:3] },
		"NaN":                func(q *vector.Query) { q.Dense = nan },
		"dense, no vector":   func(q *vector.Query) { q.Mode, q.Dense = vector.Dense, nil },
		"short, keyword too": func(q *vector.Query) { q.Mode, q.Dense = vector.Keyword, q.Dense[:3] },
	} {
		q := good
		change(&q)
		if _, err := f.Search(t.Context(), q); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v, want an Invalid fault", name, err)
		}
	}
	if _, err := f.Search(t.Context(), good); err != nil {
		t.Errorf("a good query: %v", err)
	}
}

func zeroScope(t *testing.T, f fixture) {
	defer func() {
		if recover() == nil {
			t.Error("a search without a scope did not panic")
		}
	}()
	_, _ = f.Search(t.Context(), vector.Query{Scope: corpus.Scope{}, Mode: vector.Keyword, Text: "fox", Limit: 1})
}

func anyText(t *testing.T, f fixture) {
	texts := []string{
		"", "\x00\xff\xfe", "日本語のテキスト", "Ünïcödé ẞ ﬁ", "عربي", "👩‍👩‍👧 family", "'; drop table chunk; --",
		strings.Repeat("word ", 64<<10/5), strings.Repeat("x", 64<<10), "needle",
	}
	f.live(t, document("a"), texts...)
	f.count(t, "a", "v1", len(texts))
	for text, want := range map[string]string{"needle": "a.v1.9", "テキスト": "a.v1.2", "unicode": "a.v1.3", "family": "a.v1.5", "words": "a.v1.7", strings.Repeat("x", 64<<10): "a.v1.8"} {
		same(t, "hits", []string{want}, f.keyword(t, text))
	}
}

func cancelled(t *testing.T, f fixture) {
	f.live(t, document("a"), "fox")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	doc := document("b")
	_, searchErr := f.Search(ctx, vector.Query{Scope: scope(t, "t"), Mode: vector.Hybrid, Text: "fox", Dense: Vector("fox"), Limit: 1})
	_, countErr := f.Count(ctx, "t", "a", "v1")
	for what, err := range map[string]error{
		"upsert": f.Upsert(ctx, doc, points("fox")), "activate": f.Activate(ctx, document("a")), "set attributes": f.SetAttributes(ctx, doc),
		"sweep": f.Sweep(ctx, doc), "delete": f.Delete(ctx, "t", "a", 1), "search": searchErr, "count": countErr,
	} {
		if err == nil {
			t.Errorf("%s succeeded after its context had ended", what)
		}
	}
	same(t, "hits", []string{"a.v1.0"}, f.keyword(t, "fox"))
	f.count(t, "b", "v1", 0)
}
