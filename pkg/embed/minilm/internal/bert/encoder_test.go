package bert_test

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/bert"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/weights"
)

func BenchmarkEncode(b *testing.B) {
	model, err := bert.Parse(weights.Model)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []struct {
		name   string
		tokens int
	}{{"16", 16}, {"128", 128}, {"256", 256}} {
		b.Run(n.name, func(b *testing.B) {
			e := bert.NewEncoder(model, kernel.Best())
			tokens := make([]uint16, n.tokens)
			for i := range tokens {
				tokens[i] = uint16(2000 + 37*i)
			}
			dst := make([]float32, bert.Hidden)
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Encode(dst, tokens, func() error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
