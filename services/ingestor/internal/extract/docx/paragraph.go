package docx

import (
	"encoding/xml"
	"strings"
)

// paragraph is one <w:p> being read.
type paragraph struct {
	reader *reader

	text    strings.Builder
	style   string
	outline int
	number  numbering
	// notes are the ids of the notes it refers to.
	notes []string
	// inner are the paragraphs of text boxes anchored in it.
	inner []*paragraph
}

// read reads up to the end of the paragraph whose start was just returned.
func (p *paragraph) read() error {
	for outer := p.reader.depth - 1; p.reader.depth > outer; {
		tok, err := p.reader.next()
		if err != nil {
			return err
		}
		if e, ok := tok.(xml.StartElement); ok {
			if err := p.element(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *paragraph) element(e xml.StartElement) error {
	switch e.Name.Local {
	case "pPr":
		return p.properties()
	case "r":
		return p.run()
	case "del", "moveFrom", "Fallback", "sdtPr":
		return p.reader.skip()
	case "t":
		return p.chars() // <m:t> of formulas, outside runs of text
	}
	return nil
}

// properties reads <w:pPr>.
func (p *paragraph) properties() error {
	r := p.reader
	for outer := r.depth - 1; r.depth > outer; {
		tok, err := r.next()
		if err != nil {
			return err
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "pStyle":
			p.style = attr(e, "val")
		case "outlineLvl":
			p.outline = outlineLevel(e)
		case "numId":
			p.number.num = attr(e, "val")
		case "ilvl":
			p.number.level = listLevel(e)
		case "rPr", "pPrChange", "sectPr":
			if err := r.skip(); err != nil {
				return err
			}
		}
	}
	return nil
}

// run reads <w:r>: a stretch of text with one formatting.
func (p *paragraph) run() error {
	r := p.reader
	mark := p.text.Len()
	hidden := false
	for outer := r.depth - 1; r.depth > outer; {
		tok, err := r.next()
		if err != nil {
			return err
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "rPr":
			if hidden, err = p.hidden(); err != nil {
				return err
			}
		case "p":
			if err := p.box(); err != nil {
				return err
			}
		default:
			if err := p.content(e); err != nil {
				return err
			}
		}
	}
	if hidden {
		kept := p.text.String()[:mark]
		p.text.Reset()
		p.text.WriteString(kept)
	}
	return nil
}

// content reads one element of a run.
func (p *paragraph) content(e xml.StartElement) error {
	switch e.Name.Local {
	case "t":
		return p.chars()
	case "tab", "ptab":
		p.text.WriteByte('\t')
	case "br", "cr":
		p.text.WriteByte('\n')
	case "noBreakHyphen":
		p.text.WriteByte('-')
	case "footnoteReference":
		p.note("footnote:" + attr(e, "id"))
	case "endnoteReference":
		p.note("endnote:" + attr(e, "id"))
	case "delText", "instrText", "delInstrText", "Fallback", "rPrChange":
		return p.reader.skip()
	}
	return nil
}

// note notes a reference. Its place stays unmarked: a number in brackets
// would look like the citation of a source in an answer that quotes it.
func (p *paragraph) note(id string) { p.notes = append(p.notes, id) }

// box reads a paragraph inside a text box, to be written after this one.
func (p *paragraph) box() error {
	inner := &paragraph{reader: p.reader}
	if err := inner.read(); err != nil {
		return err
	}
	p.inner = append(p.inner, inner)
	p.inner = append(p.inner, inner.inner...)
	p.notes = append(p.notes, inner.notes...)
	inner.inner = nil
	return nil
}

// hidden reads <w:rPr> and reports whether it hides the run.
func (p *paragraph) hidden() (bool, error) {
	r := p.reader
	hidden := false
	for outer := r.depth - 1; r.depth > outer; {
		tok, err := r.next()
		if err != nil {
			return false, err
		}
		e, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		switch e.Name.Local {
		case "vanish", "webHidden":
			hidden = e.Name.Local == "vanish" && on(e)
		case "rPrChange":
			if err := r.skip(); err != nil {
				return false, err
			}
		}
	}
	return hidden, nil
}

// chars appends the text of <w:t>.
func (p *paragraph) chars() error {
	r := p.reader
	for outer := r.depth - 1; r.depth > outer; {
		tok, err := r.next()
		if err != nil {
			return err
		}
		if t, ok := tok.(xml.CharData); ok && p.text.Len() < maxParagraph {
			p.text.Write(t)
		}
	}
	return nil
}
