package wordpiece_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"

	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/weights"
	"github.com/ragbus/ragbus/pkg/embed/minilm/internal/wordpiece"
)

const limit = 256

func open(t testing.TB) *wordpiece.Tokenizer {
	t.Helper()
	tokenizer, err := wordpiece.New(weights.Vocabulary)
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

func pieces(t *testing.T, text string, limit int) []string {
	t.Helper()
	vocabulary := strings.Split(weights.Vocabulary, "\n")
	var out []string
	for _, id := range open(t).Append(nil, text, limit) {
		out = append(out, vocabulary[id])
	}
	return out
}

func TestTextIsCutIntoPieces(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text string
		want string
	}{
		"nothing":                      {"", ""},
		"only white space":             {" \t\r\n\u00a0\u3000\u2028 ", ""},
		"a word and inner pieces":      {"embeddings", "em ##bed ##ding ##s"},
		"punctuation stands alone":     {"a,b+c", "a , b + c"},
		"symbols outside ASCII do not": {"a€b", "a ##€ ##b"},
		"marks go, case goes":          {"ÉCOLE Ño", "ecole no"},
		"a sign made of = and a mark":  {"a≠b", "a = b"},
		"Greek question mark":          {"a\u037eb", "a ; b"},
		"control characters vanish":    {"a\x00\x01b\u200b\u0085c\ue000", "abc"},
		"invalid UTF-8 vanishes":       {"ab\xff\xc3c\xe2\x82", "abc"},
		"specials as they are spelt":   {"x[SEP]y [mask]", "x [SEP] y [ mask ]"},
		"Hangul becomes jamo":          {"가각", "ᄀ ##ᅡ ##ᄀ ##ᅡ ##ᆨ"},
		"unknown when one piece is":    {"abc\U0001F642", "[UNK]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(pieces(t, c.text, limit), " ")
			want := strings.Join(strings.Fields("[CLS] "+c.want+" [SEP]"), " ")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.text, diff)
			}
		})
	}
}

func TestWordsOfMoreThanAHundredCharactersAreUnknown(t *testing.T) {
	t.Parallel()
	for length, unknown := range map[int]bool{100: false, 101: true, 1 << 20: true} {
		got := pieces(t, strings.Repeat("é", length)+" end", limit)
		if is := got[1] == "[UNK]"; is != unknown {
			t.Errorf("a word of %d characters is unknown: %v, want %v", length, is, unknown)
		}
		if last := got[len(got)-2]; last != "end" {
			t.Errorf("after a word of %d characters comes %q, want the next word", length, last)
		}
	}
}

func TestTheLimitCutsInsideAWord(t *testing.T) {
	t.Parallel()
	want := []string{"[CLS]", "em", "##bed", "[SEP]"}
	if diff := cmp.Diff(want, pieces(t, "embeddings are cut", 4)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"[CLS]", "[UNK]", "[SEP]"}, pieces(t, "embeddings\U0001F642 x", 3)); diff != "" {
		t.Errorf("a word that is unknown by its last character (-want +got):\n%s", diff)
	}
}

// TestNoPieceHoldsAReorderedMark guards the reason for which the tokenizer
// leaves canonical reordering out.
func TestNoPieceHoldsAReorderedMark(t *testing.T) {
	t.Parallel()
	for _, r := range weights.Vocabulary {
		if norm.NFD.PropertiesString(string(r)).CCC() != 0 && !unicode.Is(unicode.Mn, r) {
			t.Errorf("the vocabulary holds %U, which canonical ordering moves", r)
		}
	}
}

func TestABrokenVocabularyIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "does not have [PAD]"},
		"no specials":      {"[PAD]\na\nb\n", "does not have [UNK] in line 101"},
		"an empty line":    {"[PAD]\n\nb\n", "empty piece in line 2"},
		"a piece repeated": {"[PAD]\na\nb\na\n", `"a" twice`},
		"too many":         {"x\n" + numbered(1<<15), "more than 32768"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := wordpiece.New(c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteRune('a')
		b.WriteString(strings.Repeat("b", i%7))
		b.WriteRune(rune(0x4E00 + i))
		b.WriteByte('\n')
	}
	return b.String()
}

func FuzzAppend(f *testing.F) {
	for _, seed := range []string{"", "Hello, world!", "日本語 \xff[SEP]", "e\u0301\u0323\u302e", "가 İ ß", strings.Repeat("a", 300)} {
		f.Add(seed, 16)
	}
	tokenizer := open(f)
	f.Fuzz(func(t *testing.T, text string, size int) {
		size = 2 + max(size, -size)%300
		ids := tokenizer.Append([]uint16{7}, text, size)
		if ids[0] != 7 {
			t.Fatal("what was in dst is gone")
		}
		ids = ids[1:]
		if len(ids) < 2 || len(ids) > max(size, 2) {
			t.Fatalf("%d ids with a limit of %d", len(ids), size)
		}
		if ids[0] != 101 || ids[len(ids)-1] != 102 {
			t.Fatal("not framed by [CLS] and [SEP]")
		}
		for _, id := range ids {
			if int(id) >= tokenizer.Len() {
				t.Fatalf("id %d is outside the vocabulary", id)
			}
		}
		if longer := tokenizer.Append(nil, text, size+50); !cmp.Equal(longer[:len(ids)-1], ids[:len(ids)-1]) {
			t.Fatal("a greater limit changes the ids before it")
		}
		// Removing what is invalid may complete the spelling of a special piece.
		if clean := strings.ToValidUTF8(text, ""); !strings.Contains(text, "[") && !cmp.Equal(tokenizer.Append(nil, clean, size), ids) {
			t.Fatal("invalid UTF-8 changes the ids of the rest")
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	tokenizer := open(b)
	for _, c := range []struct{ name, text string }{
		{"query", "What was the name of the ship that sank near the harbour?"},
		{"passage", strings.Repeat("The quick brown fox embeds passages; naïvely, of course. ", 20)},
		{"chinese", strings.Repeat("中文维基百科是一个自由内容", 20)},
		{"hostile: 1 MB without a space", strings.Repeat("a", 1<<20)},
		{"hostile: 1 MB of marks", strings.Repeat("\u0301\u0323", 1<<18)},
		{"hostile: words of 100", strings.Repeat(strings.Repeat("q", 100)+" ", 300)},
	} {
		b.Run(c.name, func(b *testing.B) {
			ids := make([]uint16, 0, limit)
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				ids = tokenizer.Append(ids[:0], c.text, limit)
			}
		})
	}
}
