package pdf

import (
	"strings"

	lib "github.com/ledongthuc/pdf"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// compositeFont fills f from a Type 0 font dictionary.
func (d *Document) compositeFont(f *font, v lib.Value, toUnicode *cmap) {
	descendant := v.Key("DescendantFonts").Index(0)
	descriptor := descendant.Key("FontDescriptor")
	enc := v.Key("Encoding")
	name := enc.Name()
	f.composite = true
	f.wide = map[uint32]glyphInfo{}
	f.bold = isBold(baseName(v.Key("BaseFont").Name()), descriptor)
	f.codes = predefinedSpaces(name)
	f.vertical = strings.HasSuffix(name, "-V")
	if enc.Kind() == lib.Stream {
		if data, err := d.stream(enc, maxFontBytes); err == nil {
			f.codes = parseCMap(data)
			f.vertical = f.codes.vertical
			name = ""
		}
	}
	fallback := fallbackText(name)
	if fallback == nil {
		glyphs := d.glyphTexts(descendant, descriptor, toUnicode)
		fallback = func(code uint32, _ int) string {
			if cid, ok := f.codes.cid(code); ok {
				code = cid
			}
			return glyphs[code]
		}
	}
	widths := readCIDWidths(descendant)
	f.lookup = func(code uint32, n int) glyphInfo {
		var g glyphInfo
		if toUnicode != nil {
			g.text = toUnicode.text(code)
		}
		if !usable(g.text) {
			g.text = fallback(code, n)
		}
		cid, ok := f.codes.cid(code)
		if !ok {
			cid = code
		}
		g.width = widths.of(cid)
		return g
	}
}

// glyphTexts returns the texts of glyph numbers of a font that has no
// ToUnicode, when its embedded font program tells them.
func (d *Document) glyphTexts(descendant, descriptor lib.Value, toUnicode *cmap) map[uint32]string {
	if toUnicode != nil && len(toUnicode.chars)+len(toUnicode.ranges) > 0 {
		return nil
	}
	if descendant.Key("CIDToGIDMap").Kind() == lib.Stream {
		return nil
	}
	return d.trueTypeTexts(descriptor)
}

// predefinedSpaces returns how a predefined CMap splits strings into codes.
func predefinedSpaces(name string) *cmap {
	two := codespace{n: 2, lo: 0, hi: 0xFFFF}
	switch {
	case strings.Contains(name, "UTF16"):
		return &cmap{spaces: []codespace{{n: 2, lo: 0, hi: 0xD7FF}, {n: 2, lo: 0xE000, hi: 0xFFFF}, {n: 4, lo: 0xD800DC00, hi: 0xDBFFDFFF}}}
	case strings.Contains(name, "RKSJ"):
		return &cmap{spaces: []codespace{{n: 1, lo: 0, hi: 0x80}, {n: 1, lo: 0xA0, hi: 0xDF}, {n: 2, lo: 0x8140, hi: 0x9FFC}, {n: 2, lo: 0xE040, hi: 0xFCFC}}}
	case legacyEncoding(name) != nil:
		return &cmap{spaces: []codespace{{n: 1, lo: 0, hi: 0x80}, {n: 2, lo: 0x8140, hi: 0xFEFE}}}
	}
	return &cmap{spaces: []codespace{two}}
}

// legacyEncoding returns the character set by which a predefined CMap of
// Chinese, Japanese or Korean names characters, or nil.
func legacyEncoding(name string) encoding.Encoding {
	switch {
	case strings.Contains(name, "RKSJ"):
		return japanese.ShiftJIS
	case name == "EUC-H", name == "EUC-V":
		return japanese.EUCJP
	case strings.HasPrefix(name, "GBK"), strings.HasPrefix(name, "GB-EUC"), strings.HasPrefix(name, "GBpc"):
		return simplifiedchinese.GBK
	case strings.HasPrefix(name, "KSC"):
		return korean.EUCKR
	case strings.HasPrefix(name, "B5"), strings.HasPrefix(name, "ETen"), strings.HasPrefix(name, "HKscs"):
		return traditionalchinese.Big5
	}
	return nil
}

// fallbackText returns how the codes of a predefined CMap name characters, or
// nil when they are glyph numbers.
func fallbackText(name string) func(code uint32, n int) string {
	if strings.Contains(name, "UCS2") || strings.Contains(name, "UTF16") {
		return func(code uint32, n int) string { return utf16Text(codeBytes(code, n)) }
	}
	set := legacyEncoding(name)
	if set == nil {
		return nil
	}
	return func(code uint32, n int) string {
		text, err := set.NewDecoder().Bytes(codeBytes(code, n))
		if err != nil || !usable(string(text)) {
			return ""
		}
		return string(text)
	}
}

func codeBytes(code uint32, n int) []byte {
	b := make([]byte, n)
	for i := n - 1; i >= 0; i-- {
		b[i] = byte(code)
		code >>= 8
	}
	return b
}

// cidWidths are the widths of glyph numbers, in thousandths.
type cidWidths struct {
	single map[uint32]float64
	ranges []widthRange
	usual  float64
}

type widthRange struct {
	lo, hi uint32
	width  float64
}

func readCIDWidths(descendant lib.Value) cidWidths {
	w := cidWidths{single: map[uint32]float64{}, usual: 1000}
	if dw := descendant.Key("DW"); dw.Kind() != lib.Null {
		w.usual = dw.Float64()
	}
	list := descendant.Key("W")
	n := min(list.Len(), maxCMapEntries)
	for i := 0; i+1 < n; {
		first, second := uint32(max(list.Index(i).Int64(), 0)), list.Index(i+1)
		if second.Kind() == lib.Array {
			for j := range min(second.Len(), maxCMapEntries-len(w.single)) {
				w.single[first+uint32(j)] = second.Index(j).Float64()
			}
			i += 2
			continue
		}
		last := uint32(max(second.Int64(), 0))
		w.ranges = append(w.ranges, widthRange{lo: first, hi: last, width: list.Index(i + 2).Float64()})
		i += 3
	}
	return w
}

func (w cidWidths) of(cid uint32) float64 {
	if width, ok := w.single[cid]; ok {
		return width / 1000
	}
	for _, r := range w.ranges {
		if cid >= r.lo && cid <= r.hi {
			return r.width / 1000
		}
	}
	return w.usual / 1000
}
