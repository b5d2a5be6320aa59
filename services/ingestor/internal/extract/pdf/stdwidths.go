package pdf

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// standardWidths returns the widths of U+0020..U+007E in the standard font
// nearest to a base font's name, from Adobe's font metrics of the standard 14
// fonts, in thousandths of the font size. Documents may leave the widths of
// those fonts out; for other fonts they are the best guess there is.
func standardWidths(name string) [95]uint16 {
	name = strings.ToLower(name)
	bold := strings.Contains(name, "bold")
	italic := strings.Contains(name, "italic") || strings.Contains(name, "oblique")
	times := strings.Contains(name, "times") || strings.Contains(name, "serif") || strings.Contains(name, "roman")
	switch {
	case strings.Contains(name, "courier"), strings.Contains(name, "mono"):
		return courierWidths()
	case times && bold:
		return timesBoldWidths()
	case times && italic:
		return timesItalicWidths()
	case times:
		return timesWidths()
	case bold:
		return helveticaBoldWidths()
	}
	return helveticaWidths()
}

// standardWidth returns the width of a text in the table; letters with
// accents are as wide as without.
func standardWidth(table *[95]uint16, text string) float64 {
	switch r, _ := utf8.DecodeRuneInString(norm.NFD.String(text)); {
	case r >= ' ' && r <= '~':
		return float64(table[r-' '])
	case r == '—' || r == '…' || r == '™' || unicode.Is(unicode.Han, r):
		return 1000
	case r == '•':
		return 350
	case r == '’' || r == '‘':
		return float64(table['`'-' '])
	}
	return float64(table['n'-' '])
}

func courierWidths() [95]uint16 {
	var w [95]uint16
	for i := range w {
		w[i] = 600
	}
	return w
}

func helveticaWidths() [95]uint16 {
	return [95]uint16{
		278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
		556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
		611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
		667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
		222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
	}
}

func helveticaBoldWidths() [95]uint16 {
	return [95]uint16{
		278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
		556, 556, 556, 556, 556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667,
		611, 778, 722, 278, 556, 722, 611, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
		667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611, 556, 333, 611, 611, 278, 278, 556,
		278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389, 280, 389, 584,
	}
}

func timesWidths() [95]uint16 {
	return [95]uint16{
		250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500,
		500, 500, 500, 500, 500, 500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611,
		556, 722, 722, 333, 389, 722, 611, 889, 722, 722, 556, 722, 667, 556, 611, 722, 722, 944, 722,
		722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500, 444, 333, 500, 500, 278, 278, 500,
		278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541,
	}
}

func timesBoldWidths() [95]uint16 {
	return [95]uint16{
		250, 333, 555, 500, 500, 1000, 833, 278, 333, 333, 500, 570, 250, 333, 250, 278, 500, 500, 500,
		500, 500, 500, 500, 500, 500, 500, 333, 333, 570, 570, 570, 500, 930, 722, 667, 722, 722, 667,
		611, 778, 778, 389, 500, 778, 667, 944, 722, 778, 611, 778, 722, 556, 667, 722, 722, 1000, 722,
		722, 667, 333, 278, 333, 581, 500, 333, 500, 556, 444, 556, 444, 333, 500, 556, 278, 333, 556,
		278, 833, 556, 500, 556, 556, 444, 389, 333, 556, 500, 722, 500, 500, 444, 394, 220, 394, 520,
	}
}

func timesItalicWidths() [95]uint16 {
	return [95]uint16{
		250, 333, 420, 500, 500, 833, 778, 214, 333, 333, 500, 675, 250, 333, 250, 278, 500, 500, 500,
		500, 500, 500, 500, 500, 500, 500, 333, 333, 675, 675, 675, 500, 920, 611, 611, 667, 722, 611,
		611, 722, 722, 333, 444, 667, 556, 833, 667, 722, 611, 722, 611, 500, 556, 722, 611, 833, 611,
		556, 556, 389, 278, 389, 422, 500, 333, 500, 500, 444, 500, 444, 278, 500, 500, 278, 278, 444,
		278, 722, 500, 500, 500, 500, 389, 389, 278, 500, 444, 667, 444, 444, 389, 400, 275, 400, 541,
	}
}
