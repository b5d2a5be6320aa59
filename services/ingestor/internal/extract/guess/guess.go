// Package guess tells the encoding of a text that does not say it. Bytes that
// are not UTF-8 enter; the name of an encoding leaves when the text makes
// sense in it and could not be in a Western one, and otherwise whether the
// text looks wrong when read as Windows-1252. The same bytes give the same
// answer.
//
// In Western text, letters beyond ASCII stand alone in words of ASCII. In the
// other scripts words are made of nothing else, and a few letters make up
// half of any text: those two facts together decide, and no Western text has
// either.
package guess

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

const (
	// least is how many bytes beyond ASCII a guess needs.
	least = 12
	// damaged is of how many characters one may be wrong.
	damaged = 500
)

// Charset returns the name of the encoding that sample, the beginning of a
// text that is not UTF-8, is written in, or "" when that cannot be told.
// Doubtful then reports that Windows-1252 is hardly right either. The name is
// "utf-8" when most of the text is that and the rest is damaged.
func Charset(sample []byte) (name string, doubtful bool) {
	high, runs, inUTF8 := highBytes(sample)
	switch {
	case high > 0 && inUTF8*2 >= high:
		return "utf-8", false
	case high < least:
		return "", false
	}
	dense := runs*10 >= high*6
	best := 0.0
	for _, s := range scripts() {
		if s.single && !dense {
			continue
		}
		enc, err := htmlindex.Get(s.charset)
		if err != nil {
			continue
		}
		if share := s.share(enc, sample); share > s.enough && share > best {
			name, best = s.charset, share
		}
	}
	return name, name == "" && (dense || symbolsInWords(sample))
}

// highBytes counts the bytes beyond ASCII, those among them in runs of three
// and more, and those that UTF-8 could have written.
func highBytes(b []byte) (high, runs, inUTF8 int) {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		from := i
		for i < len(b) && b[i] >= utf8.RuneSelf {
			if r, size := utf8.DecodeRune(b[i:]); r != utf8.RuneError {
				inUTF8 += size
				i += size
				continue
			}
			i++
		}
		high += i - from
		if i-from >= 3 {
			runs += i - from
		}
	}
	return high, runs, inUTF8
}

// script is one way to write one script.
type script struct {
	charset string
	// single reports one byte a letter.
	single bool
	// common are its commonest letters, and enough the share of all letters
	// that they make up in any text of some length.
	common string
	enough float64
}

// scripts returns what is known, the likelier first.
func scripts() []script {
	const (
		cyrillic = "оеаинтсрвлі"
		arabic   = "املينوتربةعد"
		kana     = "のにはをたがでてとしれさいるなかもらりこすまっんあきくけそつようおえだじどアインスルトリラク"
	)
	return []script{
		{"windows-1251", true, cyrillic, 0.42},
		{"koi8-r", true, cyrillic, 0.42},
		{"ibm866", true, cyrillic, 0.42},
		{"iso-8859-5", true, cyrillic, 0.42},
		{"windows-1253", true, "αοιετσνηυράόίέή", 0.5},
		{"windows-1255", true, "יוהלאמרשבתנ", 0.5},
		{"windows-1256", true, arabic, 0.5},
		{"iso-8859-6", true, arabic, 0.5},
		{"windows-874", true, "านรอกเงมยลวดทคส", 0.5},
		{"shift_jis", false, kana, 0.25},
		{"euc-jp", false, kana, 0.25},
		{"euc-kr", false, "이다는에의을가로고하한은지도사를기대시서", 0.15},
		{"gb18030", false, "的一是不了在人有我他这中大来上国和到说们为子地出会年", 0.1},
		{"big5", false, "的一是不了在人有我他這中大來上國和到說們為子地出會年", 0.1},
	}
}

// share returns how much of the letters beyond ASCII are common ones when
// sample is read in the encoding; nothing, when it cannot be.
func (s *script) share(enc encoding.Encoding, sample []byte) float64 {
	text, err := enc.NewDecoder().Bytes(sample)
	if err != nil {
		return 0
	}
	letters, common, other, wrong := 0, 0, 0, 0
	for _, r := range string(text) {
		switch {
		case r < utf8.RuneSelf:
		case r == utf8.RuneError:
			wrong++
		case strings.ContainsRune(s.common, r):
			common++
			letters++
		case unicode.IsLetter(r) || unicode.Is(unicode.M, r):
			letters++
		default:
			other++
		}
	}
	if letters == 0 || wrong*damaged > letters || other > letters {
		return 0
	}
	return float64(common) / float64(letters)
}

// symbolsInWords reports that many bytes would be symbols between letters if
// they were Windows-1252, as the letters of Central Europe are.
func symbolsInWords(b []byte) bool {
	high, symbols := 0, 0
	for i, c := range b {
		if c < utf8.RuneSelf {
			continue
		}
		high++
		r := charmap.Windows1252.DecodeByte(c)
		if i == 0 || i+1 == len(b) || unicode.IsLetter(r) || strings.ContainsRune("’‘´·–—…\u00AD\u00A0", r) {
			continue
		}
		if unicode.IsLetter(charmap.Windows1252.DecodeByte(b[i-1])) && unicode.IsLetter(charmap.Windows1252.DecodeByte(b[i+1])) {
			symbols++
		}
	}
	return symbols >= 3 && symbols*8 >= high
}
