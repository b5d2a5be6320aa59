//go:build unix

package minilm_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/bert"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/kernel"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/weights"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/wordpiece"
)

// cpu returns the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchmark embeds a text of exactly the number of tokens, [CLS] and [SEP]
// included, and reports processor time, which a busy machine does not stretch.
func benchmark(b *testing.B, purpose embed.Purpose, tokens int) {
	b.Helper()
	text := strings.Repeat("how are the weights of this small model kept in memory today ? ", 30)
	words := strings.Fields(text)[:tokens-2]
	tokenizer, err := wordpiece.New(weights.Vocabulary)
	if err != nil {
		b.Fatal(err)
	}
	text = strings.Join(words, " ")
	if n := len(tokenizer.Append(nil, text, bert.MaxTokens)); n != tokens {
		b.Fatalf("the text has %d tokens, want %d", n, tokens)
	}
	e := open(b, 1)
	run := func() {
		if _, err := e.Embed(b.Context(), purpose, []string{text}); err != nil {
			b.Fatal(err)
		}
	}
	run()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64((cpu(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
}

func BenchmarkQuery16(b *testing.B)    { benchmark(b, embed.Query, 16) }
func BenchmarkPassage128(b *testing.B) { benchmark(b, embed.Passage, 128) }
func BenchmarkPassage256(b *testing.B) { benchmark(b, embed.Passage, 256) }

// BenchmarkPlainGo16 reports how many times longer the plain Go backend takes
// for 16 tokens than the one this machine chose, in the same run.
func BenchmarkPlainGo16(b *testing.B) {
	model, err := bert.Parse(weights.Model)
	if err != nil {
		b.Fatal(err)
	}
	tokens := make([]uint16, 16)
	for i := range tokens {
		tokens[i] = uint16(2000 + 37*i)
	}
	vector := make([]float32, bert.Hidden)
	encode := func(e *bert.Encoder) time.Duration {
		before := cpu(b)
		if err := e.Encode(vector, tokens, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
		return cpu(b) - before
	}
	plain, best := bert.NewEncoder(model, new(kernel.Portable)), bert.NewEncoder(model, kernel.Best())
	var slow, fast time.Duration
	for b.Loop() {
		slow += encode(plain)
		fast += encode(best)
	}
	b.ReportMetric(float64(slow.Microseconds())/1000/float64(b.N), "plain-cpu-ms/op")
	b.ReportMetric(float64(slow)/float64(max(fast, 1)), "x-of-"+kernel.Best().Name())
}
