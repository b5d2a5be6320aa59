package pdf

import (
	"context"
	"errors"
	"math"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// bodyStyle is how a document sets its running text.
type bodyStyle struct {
	size float64
	bold bool
}

// sampleBody finds the body style from up to three pages spread over the
// document, so that it does not depend on the order pages are read in.
func (d *Document) sampleBody(ctx context.Context, n int) (bodyStyle, error) {
	weights := map[int]int{} // by size in fifths of a point
	bold, all := 0, 0
	count := func(page int) error {
		err := guard(func() error {
			glyphs, err := d.glyphs(ctx, d.pages[page])
			for i := range glyphs {
				weights[int(math.Round(min(glyphs[i].size, 1e6)*5))]++
				all++
				if glyphs[i].bold {
					bold++
				}
			}
			return err
		})
		var f *fault.Error
		if err != nil && ctx.Err() != nil && !errors.As(err, &f) {
			return err
		}
		return nil // a page that cannot be read says nothing about the body
	}
	total := len(d.pages)
	last := -1
	for _, page := range []int{total / 4, total / 2, total * 3 / 4} {
		if page == last {
			continue
		}
		last = page
		if err := count(page); err != nil {
			return bodyStyle{}, err
		}
	}
	if all == 0 && n-1 != last {
		if err := count(n - 1); err != nil {
			return bodyStyle{}, err
		}
	}
	style := bodyStyle{size: 10, bold: bold*2 > all}
	best := 0
	for size, weight := range weights {
		if weight > best || weight == best && float64(size)/5 < style.size {
			best, style.size = weight, float64(size)/5
		}
	}
	return style, nil
}

// compose turns the glyphs of a page into its text.
func compose(glyphs []glyph, body bodyStyle) Page {
	var all []paragraph
	for _, group := range byDirection(glyphs) {
		segs := segments(group)
		if len(segs) == 0 {
			continue
		}
		for _, region := range readingOrder(segs, 0) {
			all = append(all, paragraphs(lines(region))...)
		}
	}
	var page Page
	var text strings.Builder
	runes := 0
	for i := range all {
		p := &all[i]
		if p.text == "" {
			continue
		}
		if text.Len() > 0 {
			text.WriteString("\n\n")
			runes += 2
		}
		if level := headingLevel(p, body); level > 0 {
			page.Headings = append(page.Headings, Heading{
				Start: runes, Level: level, Text: strings.Join(strings.Fields(p.text), " "),
			})
		}
		text.WriteString(p.text)
		runes += utf8.RuneCountInString(p.text)
	}
	page.Text = text.String()
	return page
}

// byDirection parts glyphs by the direction their lines run in, the commonest first.
func byDirection(glyphs []glyph) [][]glyph {
	counts := map[int16]int{}
	for i := range glyphs {
		counts[glyphs[i].angle]++
	}
	if len(counts) == 1 {
		return [][]glyph{glyphs}
	}
	angles := make([]int16, 0, len(counts))
	for a := range counts {
		angles = append(angles, a)
	}
	sort.Slice(angles, func(i, j int) bool {
		if counts[angles[i]] != counts[angles[j]] {
			return counts[angles[i]] > counts[angles[j]]
		}
		return angles[i] < angles[j]
	})
	groups := make(map[int16][]glyph, len(counts))
	for i := range glyphs {
		groups[glyphs[i].angle] = append(groups[glyphs[i].angle], glyphs[i])
	}
	out := make([][]glyph, 0, len(counts))
	for _, a := range angles {
		out = append(out, groups[a])
	}
	return out
}

// headingLevel returns the level of a paragraph that is set like a heading,
// else zero: larger than the body, or bold in a body that is not, short, and
// not a sentence.
func headingLevel(p *paragraph, body bodyStyle) int {
	if !p.plain || p.chars > 200 || p.lines > 4 || body.size <= 0 {
		return 0
	}
	letters := 0
	for _, r := range p.text {
		if unicode.IsLetter(r) {
			letters++
		}
	}
	if letters < 2 || letters*2 < p.chars {
		return 0
	}
	ratio := p.size / body.size
	switch {
	case ratio >= 1.75:
		return 1
	case ratio >= 1.35:
		return 2
	case ratio >= 1.12:
		return 3
	}
	if !p.bold || body.bold || ratio < 0.95 || p.lines > 2 || p.chars > 120 || strings.ContainsAny(p.text[len(p.text)-1:], ".,;") {
		return 0
	}
	return numberedLevel(p.text)
}

// numberedLevel places a heading in body size: deeper numbers are lower.
func numberedLevel(text string) int {
	number, _, _ := strings.Cut(text, " ")
	if !isSectionNumber(number) {
		return 4
	}
	depth := strings.Count(strings.TrimRight(number, "."), ".")
	return min(max(3+depth, 4), 6)
}
