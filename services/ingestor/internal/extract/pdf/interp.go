package pdf

import (
	"context"
	"fmt"
	"math"

	"github.com/ragbus/ragbus/pkg/fault"
)

// matrix is the usual six numbers: x' = a·x + c·y + e, y' = b·x + d·y + f.
type matrix [6]float64

func identity() matrix { return matrix{1, 0, 0, 1, 0, 0} }

// mul returns the matrix that applies m first and then n.
func (m matrix) mul(n matrix) matrix {
	return matrix{
		m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3],
		m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3],
		m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5],
	}
}

// graphics is the part of the graphics state that text needs.
type graphics struct {
	ctm                  matrix
	font                 *font
	size, scale          float64 // Tf, Tz/100
	charSpace, wordSpace float64
	leading, rise        float64
}

const maxSaved = 512

// interpreter runs the content of one page and collects its glyphs.
type interpreter struct {
	doc    *Document
	ctx    context.Context //nolint:containedctx // lives for one call of Page
	gs     graphics
	saved  []graphics
	text   matrix // Tm
	line   matrix // the text line matrix
	ops    int
	bytes  int64 // decoded so far
	chars  int
	unread int        // characters whose text nothing tells
	image  bool       // an image was drawn
	box    [4]float64 // glyphs that start outside are not seen; all zero: no box
	marks  []mark
	glyphs []glyph
	angle  angle
}

// mark is an open marked-content sequence.
type mark struct {
	actual string // its ActualText, if any
	has    bool
	from   int // the first glyph in it
}

func tooComplex(what string) error {
	return fault.Permanentf("page_too_complex", "the page has more %s than this service reads", what)
}

// run interprets content with the given resources.
func (in *interpreter) run(content []byte, res *resources, depth int) error {
	l := &lexer{data: content}
	var operands []object
	for {
		o := l.next()
		if o.kind == kindEOF {
			return nil
		}
		if o.kind != kindWord || o.is("true") || o.is("false") || o.is("null") {
			if len(operands) < 64 {
				operands = append(operands, o)
			}
			continue
		}
		in.ops++
		if in.ops > in.doc.limits.Operators {
			return tooComplex("operators")
		}
		if in.ops&0x3FF == 0 {
			if err := in.ctx.Err(); err != nil {
				return fmt.Errorf("read page: %w", err)
			}
		}
		if o.is("BI") {
			in.image = true
			skipImage(l)
		} else if err := in.operator(o.b, operands, res, depth); err != nil {
			return err
		}
		operands = operands[:0]
		l.reset()
	}
}

func number(operands []object, i int) float64 {
	if i < len(operands) && operands[i].kind == kindNumber {
		return operands[i].num
	}
	return 0
}

func matrixOf(operands []object) (matrix, bool) {
	var m matrix
	if len(operands) < 6 {
		return m, false
	}
	for i := range m {
		m[i] = number(operands, i)
	}
	return m, true
}

// operator runs one operator; those that do not concern text do nothing.
func (in *interpreter) operator(op []byte, operands []object, res *resources, depth int) error {
	switch string(op) {
	case "q":
		if len(in.saved) < maxSaved {
			in.saved = append(in.saved, in.gs)
		}
	case "Q":
		if n := len(in.saved); n > 0 {
			in.gs, in.saved = in.saved[n-1], in.saved[:n-1]
		}
	case "cm":
		if m, ok := matrixOf(operands); ok {
			in.gs.ctm = m.mul(in.gs.ctm)
		}
	case "Do":
		return in.drawObject(operands, res, depth)
	case "gs":
		in.extendedState(operands, res)
	case "BDC", "BMC":
		in.beginMark(operands, res)
	case "EMC":
		in.endMark()
	case "BT":
		in.text, in.line = identity(), identity()
	default:
		return in.textOperator(op, operands, res)
	}
	return nil
}

func (in *interpreter) textOperator(op []byte, operands []object, res *resources) error {
	switch string(op) {
	case "Tc":
		in.gs.charSpace = number(operands, 0)
	case "Tw":
		in.gs.wordSpace = number(operands, 0)
	case "Tz":
		in.gs.scale = number(operands, 0) / 100
	case "TL":
		in.gs.leading = number(operands, 0)
	case "Ts":
		in.gs.rise = number(operands, 0)
	case "Tf":
		if len(operands) >= 2 {
			in.gs.font = in.doc.font(res, string(operands[0].b))
			in.gs.size = number(operands, 1)
		}
	case "Td":
		in.move(number(operands, 0), number(operands, 1))
	case "TD":
		in.gs.leading = -number(operands, 1)
		in.move(number(operands, 0), number(operands, 1))
	case "Tm":
		if m, ok := matrixOf(operands); ok {
			in.text, in.line = m, m
		}
	case "T*":
		in.move(0, -in.gs.leading)
	default:
		return in.showOperator(op, operands)
	}
	return nil
}

func (in *interpreter) showOperator(op []byte, operands []object) error {
	if len(operands) == 0 {
		return nil
	}
	last := operands[len(operands)-1]
	switch string(op) {
	case "Tj":
		return in.show(last.b)
	case "'":
		in.move(0, -in.gs.leading)
		return in.show(last.b)
	case "\"":
		in.gs.wordSpace, in.gs.charSpace = number(operands, 0), number(operands, 1)
		in.move(0, -in.gs.leading)
		return in.show(last.b)
	case "TJ":
		for _, e := range last.arr {
			switch e.kind {
			case kindString:
				if err := in.show(e.b); err != nil {
					return err
				}
			case kindNumber:
				in.kern(e.num)
			default:
			}
		}
	}
	return nil
}

func (in *interpreter) move(x, y float64) {
	in.line = matrix{1, 0, 0, 1, x, y}.mul(in.line)
	in.text = in.line
}

// kern moves back by thousandths of the font size.
func (in *interpreter) kern(thousandths float64) {
	by := -thousandths / 1000 * in.gs.size
	if in.gs.font != nil && in.gs.font.vertical {
		in.advance(0, by)
		return
	}
	in.advance(by*in.gs.scale, 0)
}

func (in *interpreter) advance(x, y float64) {
	in.text[4] += x*in.text[0] + y*in.text[2]
	in.text[5] += x*in.text[1] + y*in.text[3]
}

// show adds the glyphs of a string and moves behind them. Text that paints
// nothing (mode 3) counts: it is how recognised text lies under a scan.
func (in *interpreter) show(s []byte) error {
	f := in.gs.font
	if f == nil {
		return nil
	}
	m := in.text.mul(in.gs.ctm)
	along := [2]float64{m[0] * in.gs.size * in.gs.scale, m[1] * in.gs.size * in.gs.scale}
	if f.vertical {
		along = [2]float64{-m[2] * in.gs.size, -m[3] * in.gs.size}
	}
	height := math.Hypot(m[2], m[3]) * math.Abs(in.gs.size)
	em := math.Hypot(along[0], along[1])
	if height*f.emHeight < 1e-3 || em < 1e-6 || math.IsNaN(em+height) || math.IsInf(em+height, 0) {
		height = 0 // text that nobody could see
	}
	in.angle.set(along[0], along[1])
	for len(s) > 0 {
		g, n, space := f.next(s)
		s = s[n:]
		spacing := in.gs.charSpace
		if space {
			spacing += in.gs.wordSpace
		}
		if height > 0 && g.text != "" {
			in.chars += len(g.text)
			if in.chars > in.doc.limits.TextBytes {
				return tooComplex("text")
			}
			in.add(g, height*f.emHeight, em)
		}
		if g.text == "" && g.width > 0 && !space {
			in.unread++
		}
		if f.vertical {
			in.advance(0, -(in.gs.size + spacing))
		} else {
			in.advance((g.width*in.gs.size+spacing)*in.gs.scale, 0)
		}
	}
	return nil
}

// add records one glyph at the present position, turned so that its line runs
// to the right.
func (in *interpreter) add(g glyphInfo, size, em float64) {
	c := in.gs.ctm
	x := in.text[4] + in.gs.rise*in.text[2]
	y := in.text[5] + in.gs.rise*in.text[3]
	x, y = x*c[0]+y*c[2]+c[4], x*c[1]+y*c[3]+c[5]
	if math.IsNaN(x+y) || math.IsInf(x+y, 0) || in.outside(x, y) {
		return
	}
	width := g.width
	if in.gs.font.vertical {
		width = 1
	}
	width *= em
	if in.gs.charSpace != 0 && in.gs.size != 0 {
		// A little spacing belongs to the letters; more of it is how some
		// producers write the gap between two words.
		width += min(in.gs.charSpace/math.Abs(in.gs.size), 0.08) * em
	}
	along, across := in.angle.turn(x, y)
	in.glyphs = append(in.glyphs, glyph{
		text: g.text, x0: along, x1: along + max(width, 0), y: across,
		size: size, em: min(size, em*in.gs.font.emHeight), angle: in.angle.degrees, bold: in.gs.font.bold,
	})
}

func (in *interpreter) outside(x, y float64) bool {
	b := in.box
	return b[2] > b[0] && (x < b[0] || x > b[2] || y < b[1] || y > b[3])
}

func (in *interpreter) extendedState(operands []object, res *resources) {
	if len(operands) == 0 {
		return
	}
	f := res.v.Key("ExtGState").Key(string(operands[0].b)).Key("Font")
	if f.Len() == 2 {
		in.gs.font = in.doc.fontOf(f.Index(0))
		in.gs.size = f.Index(1).Float64()
	}
}
