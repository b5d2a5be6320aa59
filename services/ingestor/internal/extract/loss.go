package extract

import (
	"fmt"
	"strconv"
	"strings"
)

// loss says what of a page did not become text, though the page was read.
type loss string

const (
	lossNone loss = ""
	// lossImage: there is no text, only an image.
	lossImage loss = "image"
	// lossGlyphs: there is text, but the file does not tell its characters.
	lossGlyphs loss = "glyphs"
	// lossPart: some of the page's content is damaged or missing.
	lossPart loss = "part"
)

// maxRanges bounds the page numbers that one warning lists.
const maxRanges = 10

// losses are the pages that lost something, by what they lost.
type losses struct {
	image, glyphs, part []int
}

// note adds a page, and reports whether l is a loss at all.
func (a *losses) note(page int, l loss) bool {
	switch l {
	case lossImage:
		a.image = append(a.image, page)
	case lossGlyphs:
		a.glyphs = append(a.glyphs, page)
	case lossPart:
		a.part = append(a.part, page)
	case lossNone:
		return false
	default:
		return false
	}
	return true
}

// warnings say in words for the uploader what was lost, one for each kind of loss.
func (a *losses) warnings() []string {
	var out []string
	for _, l := range []struct {
		pages     []int
		one, more string
	}{
		{a.image, "has no text, only an image (a scan?)", "have no text, only images (scans?)"},
		{a.glyphs, "has text, but the file does not say which characters it is", "have text, but the file does not say which characters it is"},
		{a.part, "is damaged, and some of its text is missing", "are damaged, and some of their text is missing"},
	} {
		switch len(l.pages) {
		case 0:
		case 1:
			out = append(out, fmt.Sprintf("page %d %s", l.pages[0], l.one))
		default:
			out = append(out, fmt.Sprintf("%d pages (%s) %s", len(l.pages), ranges(l.pages), l.more))
		}
	}
	return out
}

// ranges writes ascending page numbers as "2–4, 7", the first ones if they are many.
func ranges(pages []int) string {
	var parts []string
	for i := 0; i < len(pages); {
		j := i
		for j+1 < len(pages) && pages[j+1] == pages[j]+1 {
			j++
		}
		if len(parts) == maxRanges {
			parts = append(parts, "…")
			break
		}
		part := strconv.Itoa(pages[i])
		if j > i {
			part += "–" + strconv.Itoa(pages[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}
