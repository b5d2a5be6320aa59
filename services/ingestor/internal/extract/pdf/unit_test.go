package pdf //nolint:testpackage // parsers that no exported name reaches alone

import (
	"bytes"
	"compress/zlib"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sampleCMap = `/CIDInit /ProcSet findresource begin 12 dict begin begincmap
/CMapName /X def 1 begincodespacerange <00> <7F> endcodespacerange
1 begincodespacerange <8000> <FFFF> endcodespacerange
3 beginbfchar <01> <0041> <02> <00660069> <8001> <D835DC00> endbfchar
3 beginbfrange <10> <12> <0061> <8010> <8012> [<0031> <0032> <00330034>] <20> <1F> <0041> endbfrange
1 begincidrange <8000> <80FF> 100 endcidrange 1 begincidchar <05> 7 endcidchar
endcmap end`

func TestCMap(t *testing.T) {
	t.Parallel()
	m := parseCMap([]byte(sampleCMap))
	for code, want := range map[uint32]string{
		1: "A", 2: "fi", 0x8001: "\U0001D400", 0x10: "a", 0x12: "c", 0x13: "", 0x8010: "1", 0x8012: "34", 0x20: "", 0x99: "",
	} {
		if got := m.text(code); got != want {
			t.Errorf("text of %#x is %q, want %q", code, got, want)
		}
	}
	if cid, ok := m.cid(0x8005); !ok || cid != 105 {
		t.Errorf("cid %d %v, want 105", cid, ok)
	}
	if cid, ok := m.cid(5); !ok || cid != 7 {
		t.Errorf("cid %d %v, want 7", cid, ok)
	}
	var codes []uint32
	for s := []byte{0x01, 0x80, 0x10, 0x05, 0x90}; len(s) > 0; {
		code, n := m.split(s)
		codes = append(codes, code)
		s = s[n:]
	}
	if diff := cmp.Diff([]uint32{1, 0x8010, 5, 0x90}, codes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLexer(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"1 -2.5 +.5 --3 4.":         "1 -2.5 0.5 -3 4 ",
		`(a\(b\)\n\101\7z(n))`:      "<6128625c> ",
		"<48 65 6C6>":               "<48656c60> ",
		"/A#42c /":                  "/ABc / ",
		"[1 [2 (x)] <</K [3]>>]":    "[1 [2 <78> ] <</K [3 ] >> ] ",
		"<</A 1 /B 2 0 R /C>>":      "<</A 1 /B 2 0 R >> ",
		"true null % note\n(x) foo": "true null <78> null ",
		"]>>)":                      strings.Repeat("null ", 3),
		"[1 2":                      "[1 2 ] ",
		"(open":                     "<6f70656e> ",
	}
	cases[`(a\(b\)\n\101\7z(n))`] = "<612862290a41077a286e29> "
	for in, want := range cases {
		l := &lexer{data: []byte(in), refs: true}
		var got []byte
		for o := l.next(); o.kind != kindEOF; o = l.next() {
			got = append(o.appendTo(got), ' ')
		}
		if string(got) != want {
			t.Errorf("%q reads as %q, want %q", in, got, want)
		}
	}
}

func deflate(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFilters(t *testing.T) {
	t.Parallel()
	rows := []byte{1, 1, 1, 1, 2, 1, 1, 1, 3, 5, 5, 5, 4, 1, 1, 1, 0, 9, 9, 9}
	cases := map[string]struct {
		data   []byte
		filter filter
		want   string
	}{
		"hex":        {[]byte("48 65 6C6c 6F>"), filter{name: "ASCIIHexDecode"}, "Hello"},
		"base 85":    {[]byte("87cURD]j~>"), filter{name: "ASCII85Decode"}, "Hello "},
		"run length": {[]byte{2, 'a', 'b', 'c', 254, 'x', 128, 'z'}, filter{name: "RunLengthDecode"}, "abcxxx"},
		"flate":      {deflate(t, []byte("deflated")), filter{name: "FlateDecode"}, "deflated"},
		"flate, cut": {deflate(t, []byte(strings.Repeat("deflated ", 3)))[:14], filter{name: "FlateDecode"}, "deflated"},
		"lzw":        {[]byte{0x80, 0x0B, 0x60, 0x50, 0x22, 0x0C, 0x0C, 0x85, 0x01}, filter{name: "LZWDecode"}, "-----A---B"},
		"png":        {deflate(t, rows), filter{name: "FlateDecode", predictor: 15, columns: 3}, "\x01\x02\x03\x02\x03\x04\x06\x09\x0b\x07\x0a\x0c\x09\x09\x09"},
		"tiff":       {deflate(t, []byte{1, 1, 1, 5, 0, 1}), filter{name: "FlateDecode", predictor: 2, columns: 3}, "\x01\x02\x03\x05\x05\x06"},
	}
	for name, c := range cases {
		got, err := decodeFilters(c.data, []filter{c.filter}, 1000)
		if err != nil || !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
	if _, err := decodeFilters(deflate(t, make([]byte, 2000)), []filter{{name: "FlateDecode"}}, 1000); err == nil {
		t.Error("a stream over its limit was decoded")
	}
	if _, err := decodeFilters(nil, []filter{{name: "DCTDecode"}}, 1000); err == nil {
		t.Error("an image was decoded")
	}
}

// A long LZW stream passes through all code widths and a table reset; the
// encoder here is the plain one of the format.
func TestLZWWidths(t *testing.T) {
	t.Parallel()
	var want []byte
	for i := range 20_000 {
		want = append(want, byte(i*i>>3), byte(i))
	}
	for _, late := range []bool{false, true} {
		got, err := filter{lateChange: late}.lzw(encodeLZW(want, late), 1<<20)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("late change %v: %d bytes of %d, %v", late, len(got), len(want), err)
		}
	}
}

func encodeLZW(data []byte, late bool) []byte {
	var out []byte
	var bits uint64
	have, width, next := 0, 9, 258
	early := 1
	if late {
		early = 0
	}
	put := func(code int) {
		bits = bits<<width | uint64(code)
		for have += width; have >= 8; have -= 8 {
			out = append(out, byte(bits>>(have-8)))
		}
	}
	table := map[string]int{}
	code := func(s string) int {
		if len(s) == 1 {
			return int(s[0])
		}
		return table[s]
	}
	put(256)
	current := ""
	for _, b := range data {
		longer := current + string([]byte{b})
		if _, ok := table[longer]; ok || len(longer) == 1 {
			current = longer
			continue
		}
		put(code(current))
		table[longer] = next
		next++
		if next+early > 1<<width {
			width++
		}
		if next >= 4094 {
			put(256)
			table, width, next = map[string]int{}, 9, 258
		}
		current = string([]byte{b})
	}
	put(code(current))
	next++
	if next+early > 1<<width && width < 12 {
		width++
	}
	put(257)
	return append(out, byte(bits<<(8-have)))
}

func TestGlyphNames(t *testing.T) {
	t.Parallel()
	names := newGlyphNames()
	if len(names) < 4200 {
		t.Fatalf("%d names", len(names))
	}
	for name, want := range map[string]string{
		"A": "A", "eacute": "é", "Euro": "€", "f_f_i": "ffi", "fi": "ﬁ", "uni00E9": "é", "uni00410042": "AB", "u1F600": "😀",
		"a.alt": "a", "oneoldstyle": "1", "Asmall": "a", "g37": "", "c65": "A", ".notdef": "", "": "", "uniD800": "", "nonsense": "",
	} {
		code := 0
		if name == "c65" {
			code = 65
		}
		if got := names.text(name, code); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	win, mac, std, sym := latinEncoding("WinAnsiEncoding"), latinEncoding("MacRomanEncoding"), standardEncoding(), symbolEncoding()
	for got, want := range map[string]string{
		win[0x80]: "€", win[0xE9]: "é", mac[0x8E]: "é", mac[0xCA]: "\u00A0", std['\'']: "’", std[0xAE]: "ﬁ", std[0xFB]: "ß", std[0xD0]: "—",
		sym['a']: "α", sym[0xB7]: "•", sym[0xA5]: "∞", sym[0xFE]: "⎭", sym[0xD5]: "∏", std[0xCF]: "ˇ",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if n := len(strings.Fields(cffStringsFile)); n != 391 {
		t.Errorf("%d standard strings of CFF, want 391", n)
	}
}
