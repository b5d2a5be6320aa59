package chunk_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/services/ingestor/internal/chunk"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

// corpusOf returns about n bytes of a manual: sections, paragraphs, lists, a table, code.
func corpusOf(n int, paragraph string) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "## Section %d of the manual\n\n", i)
		for range i%5 + 1 {
			b.WriteString(paragraph)
			b.WriteString("\n\n")
		}
		b.WriteString("- first point of the list\n- second point, a little longer than the first\n\n")
		b.WriteString("| setting | default |\n|---|---|\n| limit | 10 |\n| mode | fast |\n\n```\nmake run\n```\n\n")
	}
	return b.String()
}

// BenchmarkTextToChunks reports MB/s from bytes to chunks on one core, and
// how many times longer that takes than copying and validating the same bytes.
func BenchmarkTextToChunks(b *testing.B) {
	english := "The queue holds what is to be done. A worker takes one message, does the work and acknowledges it; " +
		"if it dies in between, the message comes back after a while.\nNothing is lost, and nothing is done twice where it matters. " +
		"See section 3.2 for the limits, e.g. how many attempts are made."
	for name, text := range map[string]string{
		"markdown": corpusOf(16<<20, english),
		"japanese": corpusOf(16<<20, strings.Repeat("検索は文書を見つけ、答えを引用とともに返します。", 8)),
		"one-line": strings.Repeat(english+" ", (16<<20)/len(english)),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			chunks := 0
			for b.Loop() {
				c := chunk.New(ref)
				_, err := textdoc.Read(b.Context(), strings.NewReader(text), textdoc.Options{Markdown: true, MaxBytes: 1 << 30}, func(p page.Page) error {
					return c.Add(p, func(corpus.Chunk) error {
						chunks++
						return nil
					})
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			perOp := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			src := []byte(text)
			best := time.Hour
			for range 10 {
				began := time.Now()
				if !utf8.Valid(bytes.Clone(src)) {
					b.Fatal("not UTF-8")
				}
				best = min(best, time.Since(began))
			}
			b.ReportMetric(perOp/float64(best.Nanoseconds()), "x-copy+validate")
			b.ReportMetric(float64(chunks)/float64(b.N), "chunks")
		})
	}
}
