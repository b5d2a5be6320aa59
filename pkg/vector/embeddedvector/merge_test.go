package embeddedvector

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// smallSegment holds one document whose chunks have random terms.
func smallSegment(t *testing.T, rng *rand.Rand, id string, chunks int) *segment {
	t.Helper()
	b := newBuilder(4)
	d := &document{id: id, version: "v", collection: "c"}
	d.attributes.Store(&attributes{})
	b.open(d)
	for i := range chunks {
		var terms []lexical.Term
		for id := range uint32(20) {
			if rng.IntN(3) == 0 {
				terms = append(terms, lexical.Term{ID: id * 1000, Count: 1 + rng.Uint32N(3)})
			}
		}
		r := row{ordinal: uint32(i), length: 10, words: 12, english: 4, terms: encodeTerms(terms)}
		if i%4 != 3 {
			r.dense = encodeVector(randomVector(rng, 4))
		}
		if err := b.add(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.finish()
}

// contents describes everything that is live, independent of segments.
func contents(c *collection) map[string]string {
	out := make(map[string]string)
	for i := range c.parts {
		p := &c.parts[i]
		for chunk := range p.size() {
			d := p.owner[chunk]
			if p.isDead(d) {
				continue
			}
			at := uint32(chunk)
			text := fmt.Sprint(p.scales[chunk], p.row(p.high, at), p.row(p.low, at))
			for _, term := range p.terms {
				chunks, impacts := p.postings(term)
				for j, c := range chunks {
					if c == at {
						text += fmt.Sprint(" ", term, ":", impacts[j])
					}
				}
			}
			key := fmt.Sprint(p.documents[d].id, " ", p.ordinals[chunk])
			if _, twice := out[key]; twice {
				key += " again"
			}
			out[key] = text
		}
	}
	return out
}

func TestMergingChangesNothing(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	tn := newTenant()
	for step := range 400 {
		id := fmt.Sprintf("d%02d", rng.IntN(40))
		if rng.IntN(5) == 0 {
			tn.hide(id)
		} else {
			tn.show("c", smallSegment(t, rng, id, rng.IntN(30)))
		}
		if step%20 != 19 {
			continue
		}
		before := (*tn.view.Load())["c"]
		merges := 0
		for tn.mergeOnce("c") {
			merges++
		}
		after := (*tn.view.Load())["c"]
		if diff := cmp.Diff(contents(before), contents(after)); diff != "" {
			t.Fatalf("step %d, %d merges:\n%s", step, merges, diff)
		}
		if len(after.parts) > 24 {
			t.Fatalf("step %d: %d segments are left", step, len(after.parts))
		}
		checkTotals(t, after)
	}
}

func checkTotals(t *testing.T, c *collection) {
	t.Helper()
	chunks, words := 0, 0
	for i := range c.parts {
		p := &c.parts[i]
		dead := 0
		for d, doc := range p.documents {
			size := int(p.first[d+1] - p.first[d])
			if p.isDead(uint32(d)) {
				dead += size
				continue
			}
			chunks += size
			words += doc.words
			if doc.where != p.segment || doc.index != uint32(d) {
				t.Errorf("%s is not where it says", doc.id)
			}
		}
		if dead != p.deadChunks {
			t.Errorf("%d dead chunks, noted are %d", dead, p.deadChunks)
		}
	}
	if chunks != c.chunks || words != c.words {
		t.Errorf("%d chunks and %d words are live, noted are %d and %d", chunks, words, c.chunks, c.words)
	}
}
