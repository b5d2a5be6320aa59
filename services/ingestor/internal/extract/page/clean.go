package page

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Invisible reports whether r is dropped from every document, given the
// code point kept before it (0 at the start). Dropped are characters that a
// person does not see but a model reads, or that reorder what a person sees:
//
//   - control characters except tab and line feed;
//   - bidirectional controls and marks (U+061C, U+200E, U+200F, U+202A–202E, U+2066–206F);
//   - zero-width space, word joiner, invisible operators, byte order mark (U+200B, U+2060–2064, U+FEFF);
//   - soft hyphen, Mongolian vowel separator, interlinear annotation controls;
//   - tag characters and the supplementary variation selectors (U+E0000–E01EF), used to smuggle text;
//   - zero-width joiner and non-joiner, except directly after a character beyond Latin
//     that is no space, where Persian, the Indic scripts and emoji need them.
func Invisible(r, prev rune) bool {
	switch {
	case r < 0x20:
		return r != '\n' && r != '\t'
	case r < 0x7f:
		return false
	case r <= 0x9f, r == 0xad, r == 0x61c, r == 0x180e, r == 0x200b, r == 0xfeff:
		return true
	case r == 0x200c || r == 0x200d:
		return prev < 0x250 || prev == 0x200c || prev == 0x200d || unicode.IsSpace(prev)
	case r == 0x200e || r == 0x200f:
		return true
	case r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return true
	case r >= 0xfff9 && r <= 0xfffb:
		return true
	}
	return r >= 0xe0000 && r <= 0xe01ef
}

// Suspect reports whether the bytes of s make it worth a slow look: it is
// false only for text in which nothing is invisible and everything is valid.
func Suspect(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && c != '\n' && c != '\t' || c == 0x7f {
				return true
			}
			i++
			continue
		}
		switch c {
		case 0xc2, 0xd8, 0xe1, 0xe2, 0xef, 0xf3:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 || Invisible(r, 0) {
				return true
			}
			i += size
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				return true
			}
			i += size
		}
	}
	return false
}

// Clean drops what [Invisible] names from s and bytes that are not UTF-8;
// carriage returns, form feeds and other line separators become line feeds.
func Clean(s string) string {
	if !Suspect(s) {
		return s
	}
	return cleanWithPlaces(s, nil)
}

// CleanPage returns p with [Clean] applied to its text and headings, the
// headings and running stretches moved along.
func CleanPage(p Page) Page {
	for i, h := range p.Headings {
		p.Headings[i].Text = Clean(h.Text)
	}
	if Suspect(p.Text) {
		p.Text = cleanWithPlaces(p.Text, places(p))
	}
	return p
}

// places returns all positions in a page's text, ascending.
func places(p Page) []*int {
	all := make([]*int, 0, len(p.Headings)+2*len(p.Running))
	for i := range p.Headings {
		all = append(all, &p.Headings[i].Start)
	}
	for i := range p.Running {
		all = append(all, &p.Running[i].Start, &p.Running[i].End)
	}
	slices.SortStableFunc(all, func(a, b *int) int { return cmp.Compare(*a, *b) })
	return all
}

// cleanWithPlaces cleans s and moves the places in it, which ascend.
func cleanWithPlaces(s string, places []*int) string {
	var b strings.Builder
	b.Grow(len(s))
	var prev, raw rune
	in, out, next := 0, 0, 0
	for i, r := range s {
		for next < len(places) && *places[next] <= in {
			*places[next] = out
			next++
		}
		in++
		before := raw
		raw = r
		if r == '\r' || r == '\f' || r == '\v' || r == 0x85 || r == 0x2028 || r == 0x2029 {
			r = '\n'
		} else if r == '\n' && before == '\r' {
			continue
		}
		if Invisible(r, prev) || r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD") {
			continue
		}
		prev = r
		out++
		b.WriteRune(r)
	}
	for ; next < len(places); next++ {
		*places[next] = out
	}
	return b.String()
}
