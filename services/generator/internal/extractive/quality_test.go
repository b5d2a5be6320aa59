package extractive

import (
	"encoding/json"
	"flag"
	"path/filepath"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// figures are the results on a set.
type figures struct {
	Questions int
	// Hit is the share of answerable questions with a gold answer in a picked sentence.
	Hit float64
	// Kept is the share of answerable questions that were answered, Abstained that of unanswerable ones that were not.
	Kept, Abstained float64
	// Sentences is how many were picked for an answer.
	Sentences float64
}

func measure(w *Writer, set []item) figures {
	var f figures
	var answerable, unanswerable, hit, kept, abstained, picked int
	for _, it := range set {
		d, ok := w.Write(it.Question, it.Passages)
		switch {
		case len(it.Gold) == 0:
			unanswerable++
			if !ok {
				abstained++
			}
			continue
		case ok:
			kept++
			picked += len(d.Citations)
			if contains(d, it.Answers) {
				hit++
			}
		}
		answerable++
	}
	share := func(n, of int) float64 { return float64(n) / float64(max(of, 1)) }
	f.Questions, f.Hit, f.Kept, f.Abstained, f.Sentences = len(set), share(hit, answerable), share(kept, answerable), share(abstained, unanswerable), share(picked, kept)
	return f
}

// TestSliceOfPublicSets guards the quality on the questions under testdata.
func TestSliceOfPublicSets(t *testing.T) {
	t.Parallel()
	sets := map[string][]item{}
	lines(t, filepath.Join("testdata", "questions.jsonl.gz"), func(b []byte) {
		var s struct {
			Set, Question string
			Answers       []string
			Answerable    bool
			Passages      []corpus.Passage
		}
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatal(err)
		}
		it := item{Question: s.Question, Answers: s.Answers, Passages: s.Passages}
		name := s.Set
		if s.Answerable {
			it.Gold = []string{"yes"}
		}
		if name != "clapnq" {
			name = "xquad"
		}
		sets[name] = append(sets[name], it)
	})
	xquad, clapnq := measure(writer(), sets["xquad"]), measure(writer(), sets["clapnq"])
	t.Logf("xquad %+v", xquad)
	t.Logf("clapnq %+v", clapnq)
	if xquad.Questions != 72 || clapnq.Questions != 50 {
		t.Fatalf("%d and %d questions", xquad.Questions, clapnq.Questions)
	}
	if xquad.Hit < 0.84 || xquad.Sentences > 2.2 {
		t.Errorf("xquad: hit %.3f, sentences %.2f; want at least 0.84, at most 2.2", xquad.Hit, xquad.Sentences)
	}
	if clapnq.Kept < 0.8 || clapnq.Abstained < 0.2 {
		t.Errorf("clapnq: kept %.3f, abstained %.3f; want at least 0.8 and 0.2", clapnq.Kept, clapnq.Abstained)
	}
}

// every is which part of the public sets is measured; -every=1 makes the figures of docs/quality.md.
var every = flag.Int("every", 3, "measure every n-th question of the public sets")

// TestPublicSets measures the public sets where they lie beside the project.
func TestPublicSets(t *testing.T) {
	t.Parallel()
	dir := evalDir()
	if dir == "" || testing.Short() {
		t.Log("the public sets are not there, or the run is a short one; the slice was measured")
		return
	}
	for name, least := range map[string]figures{
		"xquad_en": {Hit: 0.89}, "xquad_de": {Hit: 0.83}, "xquad_es": {Hit: 0.87}, "xquad_ru": {Hit: 0.84}, "xquad_zh": {Hit: 0.88}, "xquad_ar": {Hit: 0.80},
		"clapnq_dev": {Kept: 0.9, Abstained: 0.1}, "mtrag": {Kept: 0.88, Abstained: 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := measure(writer(), loadSet(t, dir, name, *every))
			t.Logf("%s %+v", name, got)
			if got.Hit < least.Hit || got.Kept < least.Kept || got.Abstained < least.Abstained {
				t.Errorf("%+v, want at least %+v", got, least)
			}
		})
	}
}
