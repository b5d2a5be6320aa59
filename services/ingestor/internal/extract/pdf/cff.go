package pdf

import (
	_ "embed" // the standard strings
	"strings"
)

// cffStringsFile lists the 391 standard strings of the Compact Font Format
// (Adobe Technical Note 5176, appendix A), in their order.
//
//go:embed cffstrings.txt
var cffStringsFile string

// cffEncoding reads the built-in encoding of a bare CFF font, or returns nil.
func (d *Document) cffEncoding(data []byte) *codeTexts {
	if len(data) < 4 {
		return nil
	}
	_, at := cffIndex(data, int(data[2]))
	tops, at := cffIndex(data, at)
	own, _ := cffIndex(data, at)
	if len(tops) == 0 {
		return nil
	}
	top := cffTop(tops[0])
	if top.encoding == 0 {
		return standardEncoding()
	}
	if top.encoding == 1 {
		return nil // the expert set: small capitals and fractions
	}
	glyphs, _ := cffIndex(data, top.charStrings)
	names := cffGlyphNames(data, top.charset, len(glyphs), own)
	var e codeTexts
	for code, glyph := range cffCodes(data, top.encoding) {
		if glyph > 0 && glyph < len(names) {
			e[code] = d.glyphText(names[glyph], code)
		}
	}
	return &e
}

// cffIndex reads an INDEX: its items, and where the data goes on behind it.
func cffIndex(data []byte, at int) (items [][]byte, end int) {
	count := int(be16(data, at))
	if at < 0 || count == 0 || at+3 > len(data) {
		return nil, at + 2
	}
	size := int(data[at+2])
	if size < 1 || size > 4 || at+3+(count+1)*size > len(data) {
		return nil, len(data)
	}
	base := at + 2 + (count+1)*size
	offset := func(i int) int {
		p := at + 3 + i*size
		return base + int(bigEndian(data[p:p+size]))
	}
	for i := range count {
		from, to := offset(i), offset(i+1)
		if from > to || to > len(data) || from < 0 {
			return items, len(data)
		}
		items = append(items, data[from:to])
	}
	return items, offset(count)
}

// cffTopDict holds the offsets in a Top DICT; absent ones are zero.
type cffTopDict struct{ charset, encoding, charStrings int }

func cffTop(dict []byte) cffTopDict {
	var top cffTopDict
	operand := 0
	for i := 0; i < len(dict); {
		b := int(dict[i])
		i++
		switch {
		case b == 12:
			i++
		case b == 15:
			top.charset = operand
		case b == 16:
			top.encoding = operand
		case b == 17:
			top.charStrings = operand
		case b == 28:
			operand = int(be16(dict, i))
			i += 2
		case b == 29:
			operand = int(be32(dict, i))
			i += 4
		case b == 30: // a real number ends in a nibble of ones
			for i < len(dict) && dict[i]&0x0F != 0x0F {
				i++
			}
			i++
		case b >= 32 && b <= 246:
			operand = b - 139
		case b >= 247 && b <= 250 && i < len(dict):
			operand = (b-247)*256 + int(dict[i]) + 108
			i++
		case b >= 251 && b <= 254 && i < len(dict):
			operand = -(b-251)*256 - int(dict[i]) - 108
			i++
		}
	}
	return top
}

// cffGlyphNames reads the names of all glyphs from the charset.
func cffGlyphNames(data []byte, at, count int, own [][]byte) []string {
	standard := strings.Fields(cffStringsFile)
	name := func(sid int) string {
		switch {
		case sid < len(standard):
			return standard[sid]
		case sid-len(standard) < len(own):
			return string(own[sid-len(standard)])
		}
		return ""
	}
	names := []string{".notdef"}
	if at <= 2 { // a predefined charset: glyphs in the order of the standard strings
		for sid := 1; sid < count && sid < len(standard); sid++ {
			names = append(names, standard[sid])
		}
		return names
	}
	if at >= len(data) {
		return names
	}
	format := data[at]
	at++
	for len(names) < count && at+2 <= len(data) {
		sid, more := int(be16(data, at)), 0
		at += 2
		switch {
		case format == 1 && at < len(data):
			more = int(data[at])
			at++
		case format == 2:
			more = int(be16(data, at))
			at += 2
		}
		for i := 0; i <= more && len(names) < count; i++ {
			names = append(names, name(sid+i))
		}
	}
	return names
}

// cffCodes reads an encoding: code to glyph number.
func cffCodes(data []byte, at int) map[int]int {
	codes := map[int]int{}
	if at < 0 || at+2 > len(data) {
		return codes
	}
	format, count := data[at]&0x7F, int(data[at+1])
	at += 2
	glyph := 1
	for range count {
		if at >= len(data) {
			break
		}
		first, more := int(data[at]), 0
		at++
		if format == 1 && at < len(data) {
			more = int(data[at])
			at++
		}
		for i := 0; i <= more && first+i < 256; i++ {
			codes[first+i] = glyph
			glyph++
		}
	}
	return codes
}
