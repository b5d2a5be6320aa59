package pdf

import (
	"bytes"
	"math"

	lib "github.com/ledongthuc/pdf"
)

// drawObject runs a form XObject inside the present graphics state.
func (in *interpreter) drawObject(operands []object, res *resources, depth int) error {
	if len(operands) == 0 {
		return nil
	}
	name := string(operands[0].b)
	form := res.form(name)
	if form.Kind() != lib.Stream {
		in.image = in.image || res.v.Key("XObject").Key(name).Key("Subtype").Name() == "Image"
		return nil
	}
	if depth >= in.doc.limits.FormDepth {
		return nil // deeper forms repeat themselves; what was read stays
	}
	content, err := in.doc.stream(form, in.doc.limits.StreamBytes-in.bytes)
	if err != nil {
		return nil //nolint:nilerr // a damaged form is left out, as viewers do
	}
	in.bytes += int64(len(content))
	inner := res
	if own := form.Key("Resources"); own.Kind() == lib.Dict {
		inner = &resources{v: own}
	}
	before, saved, text, line := in.gs, in.saved, in.text, in.line
	in.saved = nil
	if m := form.Key("Matrix"); m.Len() == 6 {
		var own matrix
		for i := range own {
			own[i] = m.Index(i).Float64()
		}
		in.gs.ctm = own.mul(in.gs.ctm)
	}
	err = in.run(content, inner, depth+1)
	in.gs, in.saved, in.text, in.line = before, saved, text, line
	return err
}

const maxMarks = 256

func (in *interpreter) beginMark(operands []object, res *resources) {
	if len(in.marks) >= maxMarks {
		in.marks = in.marks[1:]
	}
	m := mark{from: len(in.glyphs)}
	if len(operands) >= 2 {
		switch properties := operands[1]; properties.kind {
		case kindDict:
			if actual, ok := properties.get("ActualText"); ok && actual.kind == kindString {
				m.actual, m.has = textString(actual.b), true
			}
		case kindName:
			actual := res.v.Key("Properties").Key(string(properties.b)).Key("ActualText")
			if actual.Kind() == lib.String {
				m.actual, m.has = textString([]byte(actual.RawString())), true
			}
		default:
		}
	}
	in.marks = append(in.marks, m)
}

// endMark puts a sequence's ActualText in the place of its glyphs when they
// stand on one line; a longer sequence keeps its glyphs.
func (in *interpreter) endMark() {
	n := len(in.marks)
	if n == 0 {
		return
	}
	m := in.marks[n-1]
	in.marks = in.marks[:n-1]
	if !m.has || m.from >= len(in.glyphs) {
		return
	}
	first, last := in.glyphs[m.from], in.glyphs[len(in.glyphs)-1]
	if first.angle != last.angle || math.Abs(first.y-last.y) > first.size/2 || len(m.actual) > 4096 {
		return
	}
	for _, g := range in.glyphs[m.from:] {
		first.x0, first.x1 = min(first.x0, g.x0), max(first.x1, g.x1)
	}
	first.text = m.actual
	in.glyphs = append(in.glyphs[:m.from], first)
}

// skipImage moves behind an inline image. Its end mark may also occur in its
// data, so what follows must look like content.
func skipImage(l *lexer) {
	for {
		o := l.next()
		if o.kind == kindEOF {
			return
		}
		if o.is("ID") {
			break
		}
	}
	for at := l.pos; ; {
		i := bytes.Index(l.data[min(at, len(l.data)):], []byte("EI"))
		if i < 0 {
			l.pos = len(l.data)
			return
		}
		at += i
		after := l.data[at+2:]
		at += 2
		if at >= 3 && isSpace(l.data[at-3]) && looksLikeContent(after) {
			l.pos = at
			return
		}
	}
}

func looksLikeContent(b []byte) bool {
	if len(b) > 0 && !isSpace(b[0]) {
		return false
	}
	for _, c := range b[:min(len(b), 24)] {
		if c > 126 || c < ' ' && !isSpace(c) || c == 0 {
			return false
		}
	}
	return true
}
