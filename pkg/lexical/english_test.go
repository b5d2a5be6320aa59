package lexical

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kljensen/snowball/english"
)

// The stems of the library that wrote the indexes so far are the ones to have.
func sameStem(t *testing.T, word string) {
	t.Helper()
	buf := append(make([]byte, 0, MaxStemmed), word...)
	got, ok := stemEnglish(buf)
	if want := english.Stem(word, true); !ok || string(got) != want {
		t.Errorf("%q: stem %q (read: %v), want %q", word, got, ok, want)
	}
}

func TestEnglishStemsAreTheLibrarys(t *testing.T) {
	t.Parallel()
	suffixes := []string{
		"", "s", "es", "ied", "ies", "us", "ss", "sses", "eed", "eedly", "ed", "edly", "ing", "ingly", "at", "bl", "iz", "y", "ly", "li", "ogi", "logi", "e", "ll", "ion", "sion", "tion", "ative",
	}
	for _, changes := range [][]change{englishSecond[:], englishThird[:], englishFourth[:]} {
		for _, c := range changes {
			suffixes = append(suffixes, c.suffix)
		}
	}
	stems := strings.FieldsSeq(`a b y yy ab ba bab abb bb add ebb egg hop hopp fall gener general commun communal arsen arsenal luxuri hesit relat condit ration valen hesitan digit conform radic
		differen vile analog vietnam predic oper feudal decis hope callous formal sensit sensib triplic formaliz electric good reviv allow infer airlin gyroscop adjust defens irrit replac
		depend adopt commun1 x2y 42 bowdl rat cas control roll sky say enjoy youth boyish toy lazy cry by dye owy bow box boY tax`)
	for stem := range stems {
		for _, one := range suffixes {
			for _, two := range suffixes {
				if word := strings.ToLower(stem + one + two); len(word) <= MaxStemmed {
					sameStem(t, word)
				}
			}
		}
	}
	for special := range strings.FieldsSeq(`skis skies dying lying tying idly gently ugly early only singly sky news howe atlas cosmos bias andes inning innings outing outings canning cannings
		herring herrings earring earrings proceed proceeds proceeded proceeding exceed exceeds exceeded exceeding succeed succeeds succeeded succeeding`) {
		sameStem(t, special)
	}
	letters := "aeiouyaeioulstrngdbmyz2"
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		word := make([]byte, 1+r.IntN(9))
		for i := range word {
			word[i] = letters[r.IntN(len(letters))]
		}
		sameStem(t, string(word))
	}
}

func FuzzEnglishStems(f *testing.F) {
	for _, word := range []string{"national", "yearly", "gnawing", "é", "rolled", "don't", "relativity"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if len(word) > MaxStemmed {
			return
		}
		if _, ok := stemEnglish([]byte(word)); ok {
			sameStem(t, word)
		}
	})
}

func BenchmarkStemEnglish(b *testing.B) {
	words := strings.Fields("running national beautifully relational hopefulness communities stones archived generalization the quickly adjustment")
	buf := make([]byte, 0, MaxStemmed)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, ok := stemEnglish(append(buf, words[i%len(words)]...)); !ok {
			b.Fatal("not read")
		}
	}
}
