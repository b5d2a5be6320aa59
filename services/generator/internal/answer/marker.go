// Package answer reads what a model writes: deltas go in, clean text with
// normalised citation markers comes out at once, and at the end the citations,
// each checked against its passage.
package answer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what the parser holds back.
const (
	// maxMarker is the longest marker in runes, brackets included.
	maxMarker = 48
	// maxLink is the longest target of a link behind a marker.
	maxLink = 2048
	// maxRange is how many sources "[1-9]" may name.
	maxRange = 16
	// linkLook is how much behind "(" decides whether it begins a link.
	linkLook = 8
)

// Abstained is the marker that a model is told to write when the sources do not answer.
const Abstained = 0

// Parser turns the markers of a stream into [n]: "[1, 2]", "[1][2]", "【1】",
// "[^1]", "[Source 1]", "[1-3]", "[1](https://…)" are all known. Markers of
// sources that do not exist are dropped, with the space before them when
// nothing but punctuation follows. Fenced code is left as it is. However a text is cut
// into deltas, what comes out in the end is the same. The zero Parser knows no source.
type Parser struct {
	// Sources is how many sources there are: markers 1 to Sources are known.
	Sources int

	state   state
	held    strings.Builder // a marker or link that is not complete
	runes   int             // in held
	spaces  strings.Builder // not written yet: a dropped marker may take them along
	dropped bool            // a marker was dropped behind spaces
	partial []byte          // an incomplete rune
	ticks   int             // backticks in a row
	fenced  bool

	out       strings.Builder
	abstained bool
	unknown   int
	started   bool
}

type state uint8

const (
	inText state = iota
	inMarker
	afterMarker // a marker was just written: "(" may begin its link
	inLinkStart // behind "(", not known to be a link
	inLink
)

// Abstained reports whether the model said with the marker [0] that the sources do not answer.
func (p *Parser) Abstained() bool { return p.abstained }

// Unknown returns how many markers of unknown sources were dropped.
func (p *Parser) Unknown() int { return p.unknown }

// Write takes a delta and returns what can be shown.
func (p *Parser) Write(delta string) string {
	p.out.Reset()
	if len(p.partial) > 0 {
		delta = string(p.partial) + delta
		p.partial = p.partial[:0]
	}
	for i := 0; i < len(delta); {
		r, size := utf8.DecodeRuneInString(delta[i:])
		if r == utf8.RuneError && size == 1 {
			if !utf8.FullRuneInString(delta[i:]) {
				p.partial = append(p.partial, delta[i:]...)
				break
			}
			r = utf8.RuneError
		}
		i += size
		p.take(r)
	}
	return p.out.String()
}

// Close returns what was held back, without white space at the end. The
// parser must not be used after it.
func (p *Parser) Close() string {
	p.out.Reset()
	for range p.partial {
		p.take(utf8.RuneError)
	}
	switch p.state {
	case inMarker, inLinkStart:
		p.flush()
	case inText, afterMarker, inLink:
	}
	return p.out.String()
}

func (p *Parser) take(r rune) {
	switch p.state {
	case inMarker:
		p.inMarker(r)
	case afterMarker:
		p.state = inText
		if r == '(' {
			p.state = inLinkStart
			p.hold(r)
			return
		}
		p.text(r)
	case inLinkStart:
		p.inLinkStart(r)
	case inLink:
		p.runes++
		if r == ')' {
			p.state = inText
			return
		}
		if unicode.IsSpace(r) || p.runes > maxLink {
			p.state = inText
			p.text(r)
		}
	case inText:
		p.text(r)
	}
}

func (p *Parser) text(r rune) {
	p.fence(r)
	switch {
	case !p.fenced && (r == '[' || r == '【' || r == '［'):
		p.state = inMarker
		p.hold(r)
	case unicode.IsSpace(r):
		if p.dropped && p.spaces.Len() > 0 && r == ' ' {
			return // the space before the dropped marker stands for the one behind it
		}
		p.spaces.WriteRune(r)
		if p.spaces.Len() > maxMarker {
			p.writeSpaces()
		}
	default:
		if p.dropped && strings.ContainsRune(".,;:!?)]}。，、；：！？）", r) {
			p.spaces.Reset()
		}
		p.writeSpaces()
		p.out.WriteRune(r)
		p.started = true
	}
}

// fence follows ``` at the beginning of lines.
func (p *Parser) fence(r rune) {
	if r == '`' {
		if p.ticks++; p.ticks == 3 {
			p.fenced = !p.fenced
		}
		return
	}
	p.ticks = 0
}

// writeSpaces writes the spaces that were held, but none before the first word.
func (p *Parser) writeSpaces() {
	if p.started {
		p.out.WriteString(p.spaces.String())
	}
	p.spaces.Reset()
	p.dropped = false
}

func (p *Parser) hold(r rune) {
	p.held.WriteRune(r)
	p.runes++
}

func (p *Parser) release() string {
	s := p.held.String()
	p.held.Reset()
	p.runes = 0
	return s
}

// flush gives up on what was held: it is text. Only its first rune can not
// begin anything else, so the rest is taken anew.
func (p *Parser) flush() {
	held := p.release()
	p.state = inText
	first, size := utf8.DecodeRuneInString(held)
	p.writeSpaces()
	p.out.WriteRune(first)
	p.started = true
	for _, r := range held[size:] {
		p.take(r)
	}
}

func (p *Parser) inMarker(r rune) {
	if r == ']' || r == '】' || r == '］' {
		numbers, ok := readMarker(p.held.String())
		if !ok {
			p.hold(r)
			p.flush()
			return
		}
		p.release()
		p.mark(numbers)
		return
	}
	p.hold(r)
	if p.runes >= maxMarker || !inMarkerAllowed(p.held.String(), r) {
		p.flush()
	}
}

// inMarkerAllowed reports whether the runes held so far, of which r is the last, can still become a marker.
func inMarkerAllowed(held string, r rune) bool {
	if strings.ContainsRune(held, '†') {
		return r != '\n' // 【1†some name】
	}
	switch {
	case unicode.IsDigit(r), r == ' ', r == ',', r == ';', r == '-', r == '–', r == '，', r == '、', r == '^', r == '#', r == ':', r == '†', r == '.':
		return true
	}
	if !unicode.IsLetter(r) {
		return false
	}
	word := strings.ToLower(held[strings.LastIndexFunc(held, func(r rune) bool { return !unicode.IsLetter(r) })+1:])
	word = strings.TrimLeftFunc(word, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, known := range sourceWords() {
		if strings.HasPrefix(known, word) {
			return true
		}
	}
	return false
}

// sourceWords are what models put before the number.
func sourceWords() []string {
	return []string{"sources", "source", "quelle", "quellen", "fuente", "fuentes", "passage", "passages", "document", "doc", "citation", "ref", "источник", "来源", "المصدر"}
}

// readMarker returns the numbers of a marker without its closing bracket.
func readMarker(held string) ([]int, bool) {
	_, size := utf8.DecodeRuneInString(held)
	body, _, _ := strings.Cut(held[size:], "†")
	body = strings.TrimLeftFunc(body, func(r rune) bool { return !unicode.IsDigit(r) })
	var out []int
	for f := range strings.FieldsFuncSeq(body, func(r rune) bool { return strings.ContainsRune(",; ，、#", r) || unicode.IsLetter(r) }) {
		from, to, ranged := strings.Cut(strings.ReplaceAll(f, "–", "-"), "-")
		if i := strings.IndexByte(from, ':'); i > 0 {
			from = from[:i] // 【4:0】 is source 4
		}
		a, errA := strconv.Atoi(strings.TrimSuffix(from, "."))
		b := a
		var errB error
		if ranged {
			b, errB = strconv.Atoi(to)
		}
		if errA != nil || errB != nil || len(from) > 3 || b < a || b-a >= maxRange {
			return nil, false
		}
		for n := a; n <= b; n++ {
			out = append(out, n)
		}
	}
	return out, len(out) > 0
}

// mark writes the known numbers as [n] each.
func (p *Parser) mark(numbers []int) {
	p.state = inText
	wrote := false
	for _, n := range numbers {
		switch {
		case n == Abstained:
			p.abstained = true
		case n > p.Sources:
			p.unknown++
		default:
			if !wrote {
				p.writeSpaces()
			}
			wrote = true
			p.out.WriteString("[" + strconv.Itoa(n) + "]")
			p.started = true
		}
	}
	p.state = afterMarker
	if !wrote {
		p.dropped = true
	}
}

func (p *Parser) inLinkStart(r rune) {
	p.hold(r)
	target := p.held.String()[1:]
	switch {
	case strings.HasPrefix(target, "http://"), strings.HasPrefix(target, "https://"), strings.HasPrefix(target, "#"), strings.HasPrefix(target, "/"), strings.HasPrefix(target, "www."):
		p.release()
		p.state = inLink
		if r == ')' {
			p.state = inText
		}
	case r == ')' || p.runes > linkLook || !linkPossible(target):
		p.flush()
	}
}

func linkPossible(target string) bool {
	for _, scheme := range []string{"http://", "https://", "#", "/", "www."} {
		if strings.HasPrefix(scheme, target) {
			return true
		}
	}
	return false
}
