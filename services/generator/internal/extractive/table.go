package extractive

import (
	"strings"
	"unicode"

	"github.com/ragbus/ragbus/services/generator/internal/sentence"
)

// headers returns for each span the row that heads its table, or -1. A row
// that heads a table stands for itself.
func headers(text string, spans []sentence.Span) []int {
	out := make([]int, len(spans))
	head := -1
	for k, s := range spans {
		out[k] = -1
		body := s.Of(text)
		below := k+1 < len(spans) && spans[k+1].Kind == sentence.Row
		switch {
		case s.Kind == sentence.Heading && below && strings.Contains(body, "|"):
			head = k
		case s.Kind != sentence.Row:
			head = -1
		case head < 0 && below && names(cells(body)) && !names(cells(spans[k+1].Of(text))):
			head = k
		}
		out[k] = head
	}
	return out
}

// cells returns a row's cells, trimmed, in order; empty ones among them.
func cells(row string) []string {
	by := "|"
	if strings.Contains(row, "\t") {
		by = "\t"
	}
	out := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), by)
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// names reports whether cells only name what is below them: they hold no
// values, which have digits (a year names, too) or stand behind a label.
func names(cells []string) bool {
	for _, c := range cells {
		if strings.HasSuffix(c, ":") || strings.ContainsFunc(c, unicode.IsDigit) && !year(c) {
			return false
		}
	}
	return len(cells) > 1
}

// keys returns what a row or a line says of itself that it is about: its first
// cell, the cells and the label that end with a colon.
func keys(s sentence.Span, text string) []string {
	body := s.Of(text)
	if s.Kind == sentence.Row {
		all := cells(body)
		out := all[:1:1]
		for _, c := range all[1:] {
			if strings.HasSuffix(c, ":") {
				out = append(out, c)
			}
		}
		return out
	}
	if l := sentence.Label(body); l != "" {
		return []string{l}
	}
	return nil
}
