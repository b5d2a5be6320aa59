package modelcatalog

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the tables of docs/models.md anew")

const page = "../../docs/models.md"

// TestTheDocumentationIsThisTable keeps the tables of docs/models.md equal to those of the code.
func TestTheDocumentationIsThisTable(t *testing.T) {
	t.Parallel()
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for name, table := range map[string]string{"chat models": chatTable(), "embedding models": embeddingTable()} {
		begin, end := "<!-- "+name+": go test ./modelcatalog -update -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the table of %s", page, name)
		}
		text = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(old), text); diff != "" {
		t.Errorf("%s is out of date (go test ./modelcatalog -update):\n%s", page, diff)
	}
}

func chatTable() string {
	var b strings.Builder
	b.WriteString("| provider | model | context | answer | price in / out | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, m := range ChatModels() {
		note := ""
		if m.LongFrom > 0 {
			note = fmt.Sprintf("above %s prompt tokens %s", count(m.LongFrom), price(m.LongPrice))
		}
		if m.Retires != "" {
			note = strings.TrimPrefix(note+"; ends "+m.Retires, "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", m.Provider, name(m.Name, DefaultChat(m.Provider)), count(m.ContextTokens), count(m.OutputTokens), price(m.Price), note)
	}
	return b.String()
}

func embeddingTable() string {
	var b strings.Builder
	b.WriteString("| provider | model | dimensions (default) | text | batch | price | |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, m := range EmbeddingModels() {
		sizes := fmt.Sprintf("%d to %d", m.MinDimensions, m.MaxDimensions)
		if m.Dimensions != nil {
			parts := make([]string, len(m.Dimensions))
			for i, d := range m.Dimensions {
				parts[i] = strconv.Itoa(d)
			}
			sizes = strings.Join(parts, ", ")
		}
		note := ""
		if !m.Multilingual {
			note = "English only"
		}
		if m.Retires != "" {
			note = strings.TrimPrefix(note+"; ends "+m.Retires, "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s (%d) | %s | %s | $%g | %s |\n", m.Provider, name(m.Name, DefaultEmbedding(m.Provider)), sizes, m.DefaultDimensions,
			count(m.InputTokens), count(m.BatchTexts), m.Price.Input, note)
	}
	return b.String()
}

func name(model, byDefault string) string {
	if model == byDefault {
		return "**`" + model + "`** (default)"
	}
	return "`" + model + "`"
}

func price(p Price) string { return fmt.Sprintf("$%g / $%g", p.Input, p.Output) }

// count writes 1048576 as 1,048,576.
func count(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
