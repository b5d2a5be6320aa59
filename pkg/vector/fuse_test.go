package vector_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/vector"
)

func keyword(document string, score float64) vector.Hit {
	return vector.Hit{Ref: corpus.ChunkRef{Tenant: "t", Document: document, Version: "v"}, Score: score, Keyword: &score}
}

func dense(document string, score float64) vector.Hit {
	return vector.Hit{Ref: corpus.ChunkRef{Tenant: "t", Document: document, Version: "v"}, Score: score, Dense: &score}
}

func TestFuse(t *testing.T) {
	t.Parallel()
	scaled := embed.Fusion{Method: embed.ScaledMax, DenseWeight: 0.5, ForeignDenseWeight: 0.2}
	minMax := embed.Fusion{Method: embed.MinMax, DenseWeight: 0.5, ForeignDenseWeight: 0.5}
	rrf := embed.Fusion{Method: embed.RRF, DenseWeight: 0.5, ForeignDenseWeight: 0.5}
	keywordLeg := []vector.Hit{keyword("a", 8), keyword("b", 4), keyword("c", 2)}
	denseLeg := []vector.Hit{dense("b", 0.8), dense("d", 0.4), dense("a", 0.2)}
	both := keyword("e", 1)
	known := 0.1
	both.Dense = &known
	for name, c := range map[string]struct {
		fusion         embed.Fusion
		foreign        bool
		keyword, dense []vector.Hit
		want           []string
	}{
		"scaled":                  {scaled, false, keywordLeg, denseLeg, []string{"b 0.7500", "a 0.6250", "d 0.2500", "c 0.1250"}},
		"scaled, foreign":         {scaled, true, keywordLeg, denseLeg, []string{"a 0.8500", "b 0.6000", "c 0.2000", "d 0.1000"}},
		"min-max":                 {minMax, false, keywordLeg, denseLeg, []string{"b 0.6667", "a 0.5000", "d 0.1667", "c 0.0000"}},
		"ranks":                   {rrf, false, keywordLeg, denseLeg, []string{"b 0.0163", "a 0.0161", "d 0.0081", "c 0.0079"}},
		"no keyword hits":         {scaled, false, nil, denseLeg, []string{"b 0.5000", "d 0.2500", "a 0.1250"}},
		"no dense hits":           {scaled, false, keywordLeg, nil, []string{"a 0.5000", "b 0.2500", "c 0.1250"}},
		"nothing":                 {scaled, false, nil, nil, []string{}},
		"negative cosines":        {scaled, false, nil, []vector.Hit{dense("a", -0.1), dense("b", -0.2)}, []string{"a -0.0500", "b -0.1000"}},
		"one score, min-max":      {minMax, false, []vector.Hit{keyword("a", 3)}, nil, []string{"a 0.5000"}},
		"ties by document":        {scaled, false, []vector.Hit{keyword("b", 3), keyword("a", 3)}, nil, []string{"a 0.5000", "b 0.5000"}},
		"a score the leg lacks":   {scaled, false, []vector.Hit{keyword("a", 2), both}, []vector.Hit{dense("a", 0.2)}, []string{"a 1.0000", "e 0.5000"}},
		"an unknown method":       {embed.Fusion{Method: "?", DenseWeight: 0.5}, false, keywordLeg[:1], nil, []string{"a 0.5000"}},
		"below the least, minmax": {minMax, false, []vector.Hit{keyword("a", 2), both}, denseLeg, []string{"a 0.5000", "b 0.5000", "d 0.1667", "e 0.0000"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := []string{}
			for _, h := range vector.Fuse(c.fusion, c.foreign, c.keyword, c.dense, 10) {
				got = append(got, fmt.Sprintf("%s %.4f", h.Ref.Document, h.Score))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFuseKeepsRawScoresAndItsArguments(t *testing.T) {
	t.Parallel()
	k, d := []vector.Hit{keyword("a", 8), keyword("b", 4)}, []vector.Hit{dense("b", 0.8)}
	hits := vector.Fuse(embed.Fusion{Method: embed.ScaledMax, DenseWeight: 0.5}, false, k, d, 1)
	if len(hits) != 1 || hits[0].Ref.Document != "b" || *hits[0].Keyword != 4 || *hits[0].Dense != 0.8 {
		t.Errorf("hits %+v", hits)
	}
	if diff := cmp.Diff([]vector.Hit{keyword("a", 8), keyword("b", 4)}, k, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the keyword leg was changed: %s", diff)
	}
}
