package pdf

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// bodyStyle is how a document sets its running text, and what it repeats on
// its pages.
type bodyStyle struct {
	size    float64
	bold    bool
	running map[string]bool // running heads and feet, without their numbers
	// repeated are the running forms of lines at the edges of several pages.
	repeated map[string]bool
}

// samplePages returns up to six pages (from 0) spread over a document, in
// neighbouring pairs, for left and right pages may have different heads.
func samplePages(total int) []int {
	var out []int
	for _, page := range []int{total / 4, total/4 + 1, total / 2, total/2 + 1, total * 3 / 4, total*3/4 + 1} {
		if page < total && (len(out) == 0 || page > out[len(out)-1]) {
			out = append(out, page)
		}
	}
	return out
}

// sampleBody finds the body style from a sample of pages, so that it does not
// depend on the order pages are read in. Pages that cannot be read say
// nothing; only the end of ctx is an error.
func (d *Document) sampleBody(ctx context.Context) (bodyStyle, error) {
	weights := map[int]int{} // by size in fifths of a point
	bold, all := 0, 0
	edges, seen := map[string]int{}, map[string][]int{}
	for _, page := range samplePages(len(d.pages)) {
		err := guard(func() error {
			shown, err := d.show(ctx, d.pages[page])
			if err != nil {
				return err
			}
			for i := range shown.glyphs {
				weights[int(math.Round(min(shown.glyphs[i].size, 1e6)*5))]++
				all++
				if shown.glyphs[i].bold {
					bold++
				}
			}
			sample := shown.read()
			for i := range sample.paragraphs {
				if atEdge(i, len(sample.paragraphs)) {
					edges[withoutNumbers(sample.paragraphs[i].text)]++
					for _, form := range runningForms(sample.paragraphs[i].text, page) {
						seen[form] = append(seen[form], page)
					}
				}
			}
			d.sampled[page] = sample
			return nil
		})
		if err != nil && ctx.Err() != nil {
			return bodyStyle{}, fmt.Errorf("read page: %w", err)
		}
	}
	style := bodyStyle{size: 10, bold: bold*2 > all, running: map[string]bool{}, repeated: map[string]bool{}}
	best := 0
	for size, weight := range weights {
		if weight > best || weight == best && float64(size)/5 < style.size {
			best, style.size = weight, float64(size)/5
		}
	}
	for form, pages := range seen {
		style.repeated[form] = isRunningForm(form, pages, len(d.pages))
	}
	for text, times := range edges {
		style.running[text] = times > 1
	}
	return style, nil
}

// atEdge reports whether the i-th of n paragraphs may be a page's head or foot.
func atEdge(i, n int) bool { return i < 2 || i >= n-2 }

func withoutNumbers(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text))
}

// isRunning reports whether a paragraph at a page's edge is its head or foot.
func (b *bodyStyle) isRunning(p *paragraph) bool {
	if b.running[withoutNumbers(p.text)] {
		return true
	}
	_, last, ok := cutLast(p.text)
	return ok && p.size < 1.3*b.size && strings.Trim(last, "0123456789") == ""
}

// cutLast splits off the last word.
func cutLast(text string) (before, last string, ok bool) {
	i := strings.LastIndexAny(text, " \t")
	if i < 0 {
		return "", text, false
	}
	return text[:i], text[i+1:], i+1 < len(text)
}

// pageParagraphs reads the glyphs of a page in order.
func pageParagraphs(glyphs []glyph) []paragraph {
	var all []paragraph
	for _, group := range byDirection(glyphs) {
		segs := segments(group)
		if len(segs) == 0 {
			continue
		}
		for _, region := range readingOrder(segs, 0) {
			for i, p := range paragraphs(lines(region)) {
				switch last := len(all) - 1; {
				case p.text == "":
				case i == 0 && last >= 0 && continues(&all[last], &p):
					kept, between := seam(all[last].text, p.text)
					all[last].text = kept + between + p.text
					all[last].lines += p.lines
					all[last].chars += p.chars
				default:
					all = append(all, p)
				}
			}
		}
	}
	return all
}

// readPage is a page before its headings are known.
type readPage struct {
	paragraphs []paragraph
	unreadable int
	image      bool
	partial    bool
}

func (s shown) read() readPage {
	return readPage{paragraphs: pageParagraphs(s.glyphs), unreadable: s.unreadable, image: s.image, partial: s.partial}
}

// compose turns the paragraphs of a page (from 0) into its text.
func compose(read readPage, body *bodyStyle, number int) Page {
	all := read.paragraphs
	page := Page{Unreadable: read.unreadable, Image: read.image, Partial: read.partial}
	var text strings.Builder
	runes := 0
	for i := range all {
		p := &all[i]
		if text.Len() > 0 {
			text.WriteString("\n\n")
			runes += 2
		} else {
			p.text = strings.TrimLeft(p.text, "\t") // an empty first cell
		}
		if level := headingLevel(p, body); level > 0 && (!atEdge(i, len(all)) || !body.isRunning(p) && !body.repeats(p, number)) {
			page.Headings = append(page.Headings, Heading{
				Start: runes, Level: level, Text: strings.Join(strings.Fields(p.text), " "),
			})
		}
		text.WriteString(p.text)
		start := runes
		runes += utf8.RuneCountInString(p.text)
		if atEdge(i, len(all)) && body.repeats(p, number) {
			page.Running = append(page.Running, Range{Start: start, End: runes})
		}
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
	if len(counts) <= 1 {
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
func headingLevel(p *paragraph, body *bodyStyle) int {
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
	depth := numberDepth(p.text)
	switch {
	case ratio >= 1.75:
		return max(1, depth)
	case ratio >= 1.35:
		return max(2, depth)
	case ratio >= 1.12:
		return max(3, depth)
	}
	if !p.bold || body.bold || ratio < 0.95 || p.lines > 2 || p.chars > 120 || strings.ContainsAny(p.text[len(p.text)-1:], ".,;") {
		return 0
	}
	return min(max(4, 3+depth), 6)
}

// numberDepth is how many parts the number of a heading has, at most 6, and
// zero without a number: a deeper number is a lower heading in the same type.
func numberDepth(text string) int {
	number, _, _ := strings.Cut(text, " ")
	if !isSectionNumber(number) {
		return 0
	}
	return min(strings.Count(strings.TrimRight(number, "."), ".")+1, 6)
}
