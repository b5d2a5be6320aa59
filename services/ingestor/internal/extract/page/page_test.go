package page_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

func TestSplitKeepsTextHeadingsAndOffsets(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{
		"lines":   "eine Zeile für alle\n",
		"spaces":  "ein Wort für alle ",
		"nothing": "für",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Repeat(unit, 3*page.MaxPart/len(unit))
			per := utf8.RuneCountInString(unit)
			in := page.Page{Number: 4, Offset: 10, Text: text}
			for i := range 50 {
				in.Headings = append(in.Headings, page.Heading{Start: i * 1000 * per, Level: 1, Text: "x"})
			}
			in.Running = []page.Range{{Start: 0, End: per}, {Start: per, End: utf8.RuneCountInString(text)}}
			running := 0
			want := append([]page.Heading(nil), in.Headings...)
			at, joined := 10, ""
			var got []page.Heading
			for _, p := range page.Split(in) {
				if p.Number != 4 || p.Offset != at || len(p.Text) > page.MaxPart || !utf8.ValidString(p.Text) {
					t.Errorf("part of %d bytes at %d of page %d, want at %d", len(p.Text), p.Offset, p.Number, at)
				}
				for _, h := range p.Headings {
					h.Start += p.Offset - 10
					got = append(got, h)
				}
				for _, r := range p.Running {
					if r.Start < 0 || r.End > utf8.RuneCountInString(p.Text) {
						t.Errorf("a running stretch of %+v", r)
					}
					running += r.End - r.Start
				}
				at += utf8.RuneCountInString(p.Text)
				joined += p.Text
			}
			if joined != text || running != utf8.RuneCountInString(text) {
				t.Errorf("the text is not the same, or %d of it running", running)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCleanPageMovesPlaces(t *testing.T) {
	t.Parallel()
	got := page.CleanPage(page.Page{
		Text:     "\u200bOne\r\n\u202etwo\r\nThr\u00adee\xff",
		Headings: []page.Heading{{Start: 1, Level: 1, Text: "O\u200bne"}, {Start: 12, Level: 2, Text: "Three"}, {Start: 99, Level: 2, Text: "beyond"}},
		Running:  []page.Range{{Start: 1, End: 4}, {Start: 12, End: 99}},
	})
	want := page.Page{
		Text:     "One\ntwo\nThree",
		Headings: []page.Heading{{Start: 0, Level: 1, Text: "One"}, {Start: 8, Level: 2, Text: "Three"}, {Start: 13, Level: 2, Text: "beyond"}},
		Running:  []page.Range{{Start: 0, End: 3}, {Start: 8, End: 13}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBuilderSeparatesBlocks(t *testing.T) {
	t.Parallel()
	var got []page.Page
	b := page.NewBuilder(1000, func(p page.Page) error {
		got = append(got, p)
		return nil
	})
	err := errors.Join(
		b.Heading(1, " The\ntitle "), b.Heading(2, " "), b.Paragraph("a  b\n\n\nc"), b.Paragraph(""),
		b.Item(0, "-", "one\nmore"), b.Item(1, "1.", "two"),
		b.Row([]string{"a", "", "b|c"}), b.Row([]string{"", " "}), b.Code("\nx\n  y\n"), b.Code(" "), b.Close())
	if err != nil {
		t.Fatal(err)
	}
	want := []page.Page{{
		Text:     "The title\n\na b\nc\n\n- one\n  more\n  1. two\n\n| a | | b\\|c |\n\n```\nx\n  y\n```",
		Headings: []page.Heading{{Start: 0, Level: 1, Text: "The title"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if b.Title() != "The title" || b.Bytes() != int64(len(want[0].Text)) {
		t.Errorf("title %q, %d bytes", b.Title(), b.Bytes())
	}
}

func TestBuilderKeepsItsFirstError(t *testing.T) {
	t.Parallel()
	b := page.NewBuilder(10, func(page.Page) error { return nil })
	first := b.Paragraph("more than ten bytes")
	if code, _ := fault.Public(first); code != "too_much_text" {
		t.Errorf("error is %v", first)
	}
	for _, err := range []error{b.Paragraph("x"), b.Heading(1, "x"), b.Item(0, "-", "x"), b.Row([]string{"x"}), b.Code("x"), b.Close()} {
		if !errors.Is(err, first) {
			t.Errorf("later error is %v", err)
		}
	}
}

func FuzzCleanAndSplit(f *testing.F) {
	f.Add("a\u200bb\r\nc\u200d\xff", 2)
	f.Add("\u3000\u200d", 0) // a joiner after a space that Tidy drops
	f.Fuzz(func(t *testing.T, text string, at int) {
		p := page.CleanPage(page.Page{Text: text, Headings: []page.Heading{{Start: max(at, 0) % (utf8.RuneCountInString(text) + 1), Level: 1, Text: "h"}}})
		if !utf8.ValidString(p.Text) || page.Clean(p.Text) != p.Text || p.Text != page.Clean(text) {
			t.Errorf("not clean: %q", p.Text)
		}
		if start := p.Headings[0].Start; start < 0 || start > utf8.RuneCountInString(p.Text) {
			t.Errorf("heading at %d of %q", start, p.Text)
		}
		if tidy := page.Tidy(text); page.Tidy(tidy) != tidy {
			t.Errorf("tidy twice differs: %q", tidy)
		}
	})
}
