package chunk

import (
	"unicode"
	"unicode/utf8"
)

// Costs of cutting at a place, in code points of distance from the ideal
// length that a better place may be away. The order is the promise: between
// blocks, between items or rows, at the end of a sentence; inside an item, a
// row or a code block that would fit whole only if nothing else is in reach;
// inside a sentence only then, and after a heading last of all.
const (
	costGap      = 0
	costItem     = 40
	costRow      = 60
	costAdjacent = 150
	costLeadIn   = 200
	costBlank    = 200
	costSentence = 250
	costLine     = 300
	costWhole    = 2000
	costHeadRow  = 1500
	costClause   = 4500
	costWord     = 5000
	costHeading  = 6000
	costRune     = 9000
)

// spread is how long chunks may be on average when long text is divided evenly.
const spread = 1100

// pack cuts the units first to last, last not included, into pieces of at most Max code points.
func (d *draft) pack(first, last int) []span {
	end := d.units[last-1].span
	pos := d.units[first].span
	var pieces []span
	for k := first; ; {
		rest := span{start: pos.start, runeStart: pos.runeStart, end: end.end, runeEnd: end.runeEnd}
		if rest.runes() <= Max {
			return append(pieces, rest)
		}
		parts := (rest.runes() + spread - 1) / spread
		c := cutter{d: d, ideal: rest.runes() / parts, best: 2 * costRune}
		cut := c.find(rest, k, last)
		pieces = append(pieces, span{start: rest.start, runeStart: rest.runeStart, end: cut.end, runeEnd: cut.runeEnd})
		pos.start, pos.runeStart = cut.end, cut.runeEnd
		for k < last-1 && d.units[k].end <= cut.end {
			k++
		}
		if u := d.units[k]; u.start > pos.start {
			pos.start, pos.runeStart = u.start, u.runeStart
		}
	}
}

// cutter looks for the cheapest place to cut.
type cutter struct {
	d     *draft
	ideal int
	best  int
	// at is the best place so far, as an end; from is where the piece begins.
	at   span
	from int
}

// offer weighs a cut before byte at.
func (c *cutter) offer(at, runeAt, cost int) {
	length := runeAt - c.from
	if length <= 0 || length > Max {
		return
	}
	if cost += max(length-c.ideal, c.ideal-length); cost < c.best {
		c.best = cost
		c.at.end, c.at.runeEnd = at, runeAt
	}
}

// find returns where the piece that begins rest should end. Units k to last are in reach.
func (c *cutter) find(rest span, k, last int) span {
	c.from = rest.runeStart
	reach := k
	for ; reach < last && c.d.units[reach].runeStart-c.from < Max; reach++ {
		if reach+1 < last {
			u := c.d.units[reach]
			c.offer(u.end, u.runeEnd, between(&c.d.units[reach], &c.d.units[reach+1]))
		}
	}
	for i := k; i < reach && c.best > costBlank; i++ {
		u := c.d.units[i]
		if u.start < rest.start {
			u.start, u.runeStart = rest.start, rest.runeStart
		}
		c.inside(u, u.kind != paragraph && c.d.units[i].runes() <= Max)
	}
	return c.at
}

// between is the cost of a cut between two neighbours.
func between(u, next *unit) int {
	switch {
	case u.kind == heading:
		return costHeading
	case u.head && next.kind == row && !next.gap:
		return costHeadRow
	case next.kind == heading:
		return costGap
	case u.kind == item && next.kind == item:
		return costItem
	case u.kind == row && next.kind == row && !next.gap:
		return costRow
	case u.kind == paragraph && (next.kind == item || next.kind == code || next.kind == row):
		return costLeadIn
	case next.gap:
		return costGap
	}
	return costAdjacent
}

// inside offers the places inside a unit; whole says that it would fit into a chunk uncut.
func (c *cutter) inside(u unit, whole bool) {
	extra := 0
	if whole {
		extra = costWhole
	}
	text := c.d.text
	runes := u.runeStart
	for i := u.start; i < u.end && runes-c.from <= Max; {
		b := text[i]
		size := 1
		var r rune
		if b >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(text[i:u.end])
		}
		after := i + size
		runes++
		switch {
		case b == ' ' || b == '\t' || b == '\n':
			c.offer(after, runes, extra+c.spaceCost(u, i))
		case r == 0:
		case r == '\u3000':
			c.offer(after, runes, extra+costClause)
		case wideStop(r) && !closesNext(text[after:u.end]):
			c.offer(after, runes, extra+costSentence)
		case wideComma(r):
			c.offer(after, runes, extra+costClause)
		case closing(r) && afterStop(text[u.start:i]):
			c.offer(after, runes, extra+costSentence)
		}
		i = after
		if runes-c.from >= Max-8 && i < u.end {
			cost := costRune
			if !boundary(text[u.start:i], text[i:u.end]) {
				cost += costRune / 2
			}
			c.offer(i, runes, cost)
		}
	}
}

// spaceCost is the cost of a cut after the white space at byte i.
func (c *cutter) spaceCost(u unit, i int) int {
	text := c.d.text
	switch {
	case u.kind == code && text[i] == '\n':
		if i+1 < u.end && text[i+1] == '\n' || i > u.start && text[i-1] == '\n' {
			return costBlank
		}
		return costLine
	case u.kind == code:
		return costWord
	case sentenceEnd(text[u.start:i], text[i:u.end]):
		return costSentence
	case u.kind == row && (text[i] == '\t' || i > u.start && text[i-1] == '|'):
		return costClause
	case text[i] == '\n':
		return costClause
	}
	return costWord
}

// boundary reports whether a reader would see two characters here, not one.
func boundary(before, after string) bool {
	r, _ := utf8.DecodeRuneInString(after)
	p, _ := utf8.DecodeLastRuneInString(before)
	return !unicode.In(r, unicode.Mn, unicode.Mc, unicode.Me) && r != '\u200d' && p != '\u200d' && r != '\ufe0f' && (p < 'เ' || p > 'ไ')
}
