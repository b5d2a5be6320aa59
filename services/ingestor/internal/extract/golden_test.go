package extract

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag

// TestGolden extracts every document under testdata, without being told what
// it is, and compares summary, headings and text.
func TestGolden(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if filepath.Ext(path) == ".golden" || filepath.Ext(path) == "" {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			got := describe(t, path)
			golden := path + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func describe(t *testing.T, path string) string {
	t.Helper()
	var b, text strings.Builder
	sum, err := extractor(t, Limits{}).Extract(t.Context(), Source{File: openFile(t, path)}, func(p Page) error {
		runes := []rune(p.Text)
		fmt.Fprintf(&text, "--- page %d at %d\n%s\n", p.Number, p.Offset, p.Text)
		for _, h := range p.Headings {
			line, _, _ := strings.Cut(string(runes[h.Start:]), "\n")
			fmt.Fprintf(&text, "h%d at %d: %s  <- %s\n", h.Level, h.Start, h.Text, line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "type %s, title %q, %d pages\n", sum.MediaType, sum.Title, sum.Pages)
	for _, w := range sum.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String() + text.String()
}
