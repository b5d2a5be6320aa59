package pdf

import (
	"bytes"
	"encoding/binary"

	lib "github.com/ledongthuc/pdf"
)

const (
	maxFontBytes   = 32 << 20
	maxDifferences = 4096
)

// builtinEncoding reads the encoding that an embedded Type 1 or CFF font
// carries, or returns nil when there is none to read.
func (d *Document) builtinEncoding(descriptor lib.Value) *codeTexts {
	if file := descriptor.Key("FontFile3"); file.Kind() == lib.Stream && file.Key("Subtype").Name() == "Type1C" {
		data, err := d.stream(file, maxFontBytes)
		if err != nil {
			return nil
		}
		return d.cffEncoding(data)
	}
	file := descriptor.Key("FontFile")
	if file.Kind() != lib.Stream {
		return nil
	}
	data, err := d.stream(file, maxFontBytes)
	if err != nil {
		return nil
	}
	if end := bytes.Index(data, []byte("eexec")); end >= 0 {
		data = data[:end]
	}
	at := bytes.Index(data, []byte("/Encoding"))
	if at < 0 {
		return nil
	}
	l := &lexer{data: data, pos: at + len("/Encoding")}
	if o := l.next(); o.is("StandardEncoding") {
		return standardEncoding()
	}
	var e codeTexts
	found := false
	for range 256 * 8 {
		o := l.next()
		if o.kind == kindEOF || o.is("def") || o.is("readonly") {
			break
		}
		if !o.is("dup") {
			continue
		}
		code, name := l.next(), l.next()
		if code.kind == kindNumber && name.kind == kindName && code.num >= 0 && code.num < 256 {
			e[code.integer()] = d.glyphText(string(name.b), code.integer())
			found = true
		}
	}
	if !found {
		return nil
	}
	return &e
}

// trueTypeTexts inverts the Unicode character map of an embedded TrueType
// font: glyph number to text. It serves composite fonts without ToUnicode.
func (d *Document) trueTypeTexts(descriptor lib.Value) map[uint32]string {
	file := descriptor.Key("FontFile2")
	if file.Kind() != lib.Stream {
		return nil
	}
	data, err := d.stream(file, maxFontBytes)
	if err != nil {
		return nil
	}
	table := sfntTable(data, "cmap")
	texts := map[uint32]string{}
	for i := range int(be16(table, 2)) {
		record := 4 + 8*i
		platform, kind := be16(table, record), be16(table, record+2)
		if record+8 > len(table) {
			break
		}
		if platform != 0 && (platform != 3 || kind != 1 && kind != 10) {
			continue
		}
		if offset := int64(be32(table, record+4)); offset < int64(len(table)) {
			invertCharacterMap(table[offset:], texts)
		}
	}
	return texts
}

// invertCharacterMap reads formats 4 and 12 of the OpenType cmap table.
func invertCharacterMap(table []byte, texts map[uint32]string) {
	put := func(glyph uint32, r rune) {
		if _, taken := texts[glyph]; !taken && glyph != 0 && len(texts) < 1<<16 {
			texts[glyph] = string(r)
		}
	}
	switch be16(table, 0) {
	case 4:
		n := int(be16(table, 6)) / 2
		for i := range n {
			last, first := int(be16(table, 14+2*i)), int(be16(table, 16+2*n+2*i))
			delta, at := be16(table, 16+4*n+2*i), 16+6*n+2*i
			offset := int(be16(table, at))
			for c := first; c <= last && c < 0xFFFF; c++ {
				glyph := uint16(c) + delta
				if offset != 0 {
					if glyph = be16(table, at+offset+2*(c-first)); glyph != 0 {
						glyph += delta
					}
				}
				put(uint32(glyph), rune(c))
			}
		}
	case 12:
		for i := range min(int(be32(table, 12)), len(table)/12) {
			at := 16 + 12*i
			first, last, glyph := be32(table, at), be32(table, at+4), be32(table, at+8)
			for c := first; c <= last && c <= 0x10FFFF && c-first < 1<<16; c++ {
				put(glyph+c-first, rune(c))
			}
		}
	}
}

// sfntTable finds a table of a TrueType file, or returns nil.
func sfntTable(data []byte, tag string) []byte {
	for i := range int(be16(data, 4)) {
		at := 12 + 16*i
		if at+16 > len(data) {
			break
		}
		if string(data[at:at+4]) == tag {
			from := int64(be32(data, at+8))
			to := min(from+int64(be32(data, at+12)), int64(len(data)))
			if from < to {
				return data[from:to]
			}
		}
	}
	return nil
}

// be16 and be32 read big-endian numbers; outside the data they are zero.
func be16(data []byte, at int) uint16 {
	if at < 0 || at+2 > len(data) {
		return 0
	}
	return binary.BigEndian.Uint16(data[at:])
}

func be32(data []byte, at int) uint32 {
	if at < 0 || at+4 > len(data) {
		return 0
	}
	return binary.BigEndian.Uint32(data[at:])
}
