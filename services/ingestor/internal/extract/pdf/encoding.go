package pdf

import (
	_ "embed" // the glyph list
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// glyphListFile is the Adobe Glyph List 2.0, unchanged, Apache-2.0: the text of each named glyph.
//
//go:embed glyphlist.txt
var glyphListFile string

// glyphNames knows the text of glyphs by their names.
type glyphNames map[string]string

func newGlyphNames() glyphNames {
	names := make(glyphNames, 4400)
	for line := range strings.Lines(glyphListFile) {
		name, codes, ok := strings.Cut(strings.TrimSpace(line), ";")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		var text strings.Builder
		for code := range strings.FieldsSeq(codes) {
			if v, err := strconv.ParseUint(code, 16, 32); err == nil {
				text.WriteRune(publicRune(rune(v)))
			}
		}
		names[name] = text.String()
	}
	// Names that TeX's fonts use and the list lacks.
	maps.Copy(names, glyphNames{
		"Germandbls": "SS", "hyphenchar": "-", "compwordmark": "", "cwm": "", "visiblespace": " ",
		"angbracketleft": "⟨", "angbracketright": "⟩", "dotlessj": "ȷ", "ff": "ff", "nbspace": " ",
	})
	return names
}

// publicRune turns the private runes by which the glyph list names small
// capitals and old-style figures into the letters and figures they show.
func publicRune(r rune) rune {
	if r >= 0xF720 && r <= 0xF7FF {
		return r - 0xF700
	}
	return r
}

// text returns the text of a glyph name by the rules of the Adobe Glyph List
// specification, "" when the name says nothing. The code is that of the
// character: a name such as "c65" is believed when its number is the code.
func (g glyphNames) text(name string, code int) string {
	if text, ok := g[name]; ok {
		return text
	}
	base, _, suffixed := strings.Cut(name, ".")
	if base == "" {
		return ""
	}
	if suffixed {
		if text, ok := g[base]; ok {
			return text
		}
	}
	if parts := strings.Split(base, "_"); len(parts) > 1 && len(parts) <= 8 {
		var joined strings.Builder
		for _, part := range parts {
			joined.WriteString(g.text(part, -1))
		}
		return joined.String()
	}
	if hex, ok := strings.CutPrefix(base, "uni"); ok && len(hex) >= 4 && len(hex)%4 == 0 && len(hex) <= 32 {
		return hexText(hex)
	}
	if hex, ok := strings.CutPrefix(base, "u"); ok && len(hex) >= 4 && len(hex) <= 6 {
		if v, err := strconv.ParseUint(hex, 16, 32); err == nil && utf8.ValidRune(rune(v)) {
			return string(rune(v))
		}
	}
	number := strings.TrimLeft(base, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if n, err := strconv.Atoi(number); err == nil && n == code && n >= ' ' && n < 127 {
		return string(rune(n))
	}
	return ""
}

func hexText(hex string) string {
	var text strings.Builder
	for i := 0; i+4 <= len(hex); i += 4 {
		v, err := strconv.ParseUint(hex[i:i+4], 16, 32)
		if err != nil || !utf8.ValidRune(rune(v)) {
			return ""
		}
		text.WriteRune(publicRune(rune(v)))
	}
	return text.String()
}

// codeTexts is the text of each one-byte code; "" is unknown.
type codeTexts [256]string

// latinEncoding returns WinAnsiEncoding or MacRomanEncoding.
func latinEncoding(name string) *codeTexts {
	table := charmap.Windows1252
	if name == "MacRomanEncoding" {
		table = charmap.Macintosh
	}
	var e codeTexts
	for i := ' '; i < 256; i++ {
		if r := table.DecodeByte(byte(i)); r != utf8.RuneError {
			e[i] = string(r)
		}
	}
	e[127] = ""
	if name != "MacRomanEncoding" {
		for _, i := range []int{127, 129, 141, 143, 144, 157} {
			e[i] = "•" // the format fills WinAnsi's holes with bullets
		}
	}
	return &e
}

// runs returns an encoding filled from strings that start at the given codes;
// a blank inside them leaves its code unknown.
func runs(starts map[int]string) *codeTexts {
	var e codeTexts
	for start, text := range starts {
		i := start
		for _, r := range text {
			if r != ' ' {
				e[i] = string(r)
			}
			i++
		}
	}
	e[' '] = " "
	return &e
}

// standardEncoding is Adobe's StandardEncoding (ISO 32000-1, annex D.2).
func standardEncoding() *codeTexts {
	ascii := make([]byte, 0, 95)
	for c := byte('!'); c < 127; c++ {
		ascii = append(ascii, c)
	}
	e := runs(map[int]string{
		'!': string(ascii), 0xA1: "¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ", 0xB1: "–†‡· ¶•‚„”»…‰ ¿", 0xC1: "`´ˆ˜¯˘˙¨ ˚¸ ˝˛ˇ—",
		0xE1: "Æ ª", 0xE8: "ŁØŒº", 0xF1: "æ", 0xF5: "ı", 0xF8: "łøœß",
	})
	e['\''], e['`'] = "’", "‘"
	return e
}

// symbolEncoding is the built-in encoding of the Symbol font (annex D.5).
func symbolEncoding() *codeTexts {
	return runs(map[int]string{
		0x21: "!∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_ αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
		0xA0: "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…  ↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊⟨®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪ ⟩∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭",
	})
}

// dingbatsEncoding is the built-in encoding of ZapfDingbats (annex D.6),
// whose codes follow the Unicode block made for it.
func dingbatsEncoding() *codeTexts {
	var e codeTexts
	for i := 0x21; i <= 0x7E; i++ {
		e[i] = string(rune(0x2700 + i - 0x20))
	}
	for i := 0xA1; i <= 0xFE; i++ {
		e[i] = string(rune(0x2761 + i - 0xA1))
	}
	e[' '], e['l'], e['n'] = " ", "●", "■"
	return &e
}
