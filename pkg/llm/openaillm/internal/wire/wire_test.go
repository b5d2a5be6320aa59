package wire

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzReadProblem(f *testing.F) {
	for _, seed := range []string{
		`{"error":{"message":"m","type":"t","code":"c","param":null}}`, `{"error":{"code":400,"message":["m"]}}`, `{"error":"m"}`,
		`{"object":"error","message":"m","code":40}`, `{"detail":[{"msg":"m"}]}`, `[]`, `null`, `<html>`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := ReadProblem(body)
		if !p.worded && p != (Problem{}) {
			t.Errorf("%+v", p)
		}
		if s := p.status(); s < 400 || s > 599 {
			t.Errorf("status %d", s)
		}
		p.Blames([]string{"max_tokens", "temperature"})
		if err := p.StreamFault("key"); err == nil || len(err.Error()) > 500 {
			t.Errorf("%v", err)
		}
	})
}

// shown is what a reader sees of a text that comes in pieces of n bytes.
func shown(text string, n int) string {
	var th Thought
	var out strings.Builder
	for len(text) > n {
		out.WriteString(th.Visible(text[:n]))
		text = text[n:]
	}
	out.WriteString(th.Visible(text))
	out.WriteString(th.Rest())
	return out.String()
}

func FuzzThoughtsDoNotDependOnThePieces(f *testing.F) {
	f.Add("<think>hm</think>\n\nyes", 1)
	f.Add(" \n<think>a</thin</think>b", 3)
	f.Add("<thinking> is hard", 2)
	f.Fuzz(func(t *testing.T, text string, n int) {
		if n < 1 || !utf8.ValidString(text) {
			t.Skip()
		}
		whole, pieces := shown(text, len(text)+1), shown(text, n)
		if whole != pieces {
			t.Errorf("%q whole, %q in pieces of %d", whole, pieces, n)
		}
		if !strings.Contains(text, thinkBegin) && whole != text {
			t.Errorf("%q became %q", text, whole)
		}
	})
}
