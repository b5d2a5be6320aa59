package pdf

import (
	"strings"

	lib "github.com/ledongthuc/pdf"
)

// glyphInfo is what a font says about one code: its text, which is empty when
// nothing says it, and its advance in text space at font size one.
type glyphInfo struct {
	text  string
	width float64
}

// font decodes strings shown with one font dictionary.
type font struct {
	bold      bool
	composite bool
	vertical  bool
	emHeight  float64 // font size one is this high; only Type 3 fonts differ from one
	simple    [256]glyphInfo
	codes     *cmap                              // composite: how strings fall into codes
	wide      map[uint32]glyphInfo               // composite: codes seen so far
	lookup    func(code uint32, n int) glyphInfo // composite: a code not seen before
}

// next takes the first code off s, which is not empty. space reports the
// one-byte code 32, to which word spacing applies.
func (f *font) next(s []byte) (g glyphInfo, n int, space bool) {
	if !f.composite {
		return f.simple[s[0]], 1, s[0] == ' '
	}
	code, n := f.codes.split(s)
	g, ok := f.wide[code<<3|uint32(n)]
	if !ok {
		g = f.lookup(code, n)
		f.wide[code<<3|uint32(n)] = g
	}
	return g, n, n == 1 && code == ' '
}

// newFont reads a font dictionary. Whatever is missing has a fallback.
func (d *Document) newFont(v lib.Value) *font {
	f := &font{emHeight: 1}
	subtype := v.Key("Subtype").Name()
	name := baseName(v.Key("BaseFont").Name())
	var toUnicode *cmap
	if s := v.Key("ToUnicode"); s.Kind() == lib.Stream {
		if data, err := d.stream(s, maxFontBytes); err == nil {
			toUnicode = parseCMap(data)
		}
	}
	if subtype == "Type0" {
		d.compositeFont(f, v, toUnicode)
		return f
	}
	descriptor := v.Key("FontDescriptor")
	f.bold = isBold(name, descriptor)
	texts := d.simpleTexts(v, name, subtype, toUnicode)
	scale := 0.001
	if subtype == "Type3" {
		matrix := v.Key("FontMatrix")
		if a := matrix.Index(0).Float64(); a != 0 {
			scale = a
		}
		f.emHeight = type3Height(v, matrix.Index(3).Float64())
	}
	first, widths := int(v.Key("FirstChar").Int64()), v.Key("Widths")
	missing := descriptor.Key("MissingWidth").Float64()
	table := standardWidths(name)
	for code := range f.simple {
		width := missing
		switch i := code - first; {
		case i >= 0 && i < widths.Len():
			width = widths.Index(i).Float64()
		case widths.Len() == 0 && missing == 0:
			width = standardWidth(&table, texts[code])
		}
		f.simple[code] = glyphInfo{text: texts[code], width: width * scale}
	}
	return f
}

// baseName drops the six letters that mark a subset.
func baseName(name string) string {
	if len(name) > 7 && name[6] == '+' {
		return name[7:]
	}
	return name
}

func isBold(name string, descriptor lib.Value) bool {
	const forceBold = 1 << 18
	if descriptor.Key("Flags").Int64()&forceBold != 0 || descriptor.Key("FontWeight").Float64() >= 600 {
		return true
	}
	name = strings.ToLower(name)
	for _, mark := range []string{"bold", "black", "heavy", "demi", "cmbx", "sfbx", "cmssbx", "-medi", "ecbx"} {
		if strings.Contains(name, mark) {
			return true
		}
	}
	return false
}

// type3Height guesses how high a Type 3 font is, for its glyphs may be drawn
// in any unit.
func type3Height(v lib.Value, scale float64) float64 {
	box := v.Key("FontBBox")
	height := (box.Index(3).Float64() - box.Index(1).Float64()) * scale
	if height < 0 {
		height = -height
	}
	switch {
	case height > 1e-6 && height < 1e6:
		return height
	case scale != 0:
		return min(max(1000*scale, -1000*scale), 1e6)
	}
	return 1
}

// simpleTexts finds the text of each code of a one-byte font: ToUnicode first,
// then glyph names, then the base encoding.
func (d *Document) simpleTexts(v lib.Value, name, subtype string, toUnicode *cmap) *codeTexts {
	enc := v.Key("Encoding")
	base := enc.Name()
	if enc.Kind() == lib.Dict {
		base = enc.Key("BaseEncoding").Name()
	}
	texts := *d.baseEncoding(v, base, name, subtype)
	differences := enc.Key("Differences")
	code := 0
	for i := range min(differences.Len(), maxDifferences) {
		switch e := differences.Index(i); e.Kind() {
		case lib.Integer, lib.Real:
			code = int(e.Float64())
		case lib.Name:
			if code >= 0 && code < 256 {
				if text := d.glyphText(e.Name(), code); text != "" || e.Name() == ".notdef" {
					texts[code] = text
				}
			}
			code++
		default:
		}
	}
	if toUnicode != nil {
		for code := range texts {
			if text := toUnicode.text(uint32(code)); usable(text) {
				texts[code] = text
			}
		}
	}
	return &texts
}

// usable reports whether a ToUnicode text says anything.
func usable(text string) bool {
	return text != "" && text[0] != 0 && !strings.ContainsRune(text, '\uFFFD')
}

func (d *Document) baseEncoding(v lib.Value, base, name, subtype string) *codeTexts {
	switch base {
	case "WinAnsiEncoding", "MacRomanEncoding":
		return latinEncoding(base)
	case "StandardEncoding":
		return standardEncoding()
	}
	switch {
	case strings.HasPrefix(name, "Symbol"):
		return symbolEncoding()
	case strings.Contains(name, "Dingbats"), strings.HasPrefix(name, "Wingdings"):
		return dingbatsEncoding()
	case subtype == "TrueType":
		return latinEncoding("WinAnsiEncoding")
	case subtype == "Type3":
		return &codeTexts{' ': " "}
	}
	if own := d.builtinEncoding(v.Key("FontDescriptor")); own != nil {
		return own
	}
	return standardEncoding()
}

// glyphText looks a glyph name up; the list is read when first needed.
func (d *Document) glyphText(name string, code int) string {
	if d.names == nil {
		d.names = newGlyphNames()
	}
	return d.names.text(name, code)
}
