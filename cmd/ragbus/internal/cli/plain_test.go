package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\tb\r\nc ü👩‍🔬": "a\tb\nc ü👩‍🔬", "\x1b[2J": "�[2J", "\u009b31m": "�31m", "\x00\x07\x7f": "���", "\u202etxt.exe": "�txt.exe", "\xff": "�",
	} {
		if got := plain(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got := line("a\tb\nc\x1b"); got != "a b c�" {
		t.Errorf("%q", got)
	}
}

// TestWhatOthersWroteCannotSteerTheTerminal has a server whose every text does.
func TestWhatOthersWroteCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	const evil = `ev\u001b[31m\u009b2J\u0007\u202e\r\nil\tend`
	title := evil + strings.Repeat("x", 900)
	document := `{"id":"` + evil + `","title":"` + title + `","filename":"` + evil + `","collection":"` + evil + `","status":"failed","error":{"code":"` + evil + `","message":"` + evil + `"},"metadata":{"a":"` + evil + `"}}`
	passage := `{"id":"p","title":"` + title + `","section":"` + evil + `","text":"` + evil + `"}`
	letter := `{"id":"` + evil + `","stage":"` + evil + `","kind":"` + evil + `","about":"` + evil + `","class":"` + evil + `","code":"` + evil + `","message":"` + evil + `","payload":{"text":"` + evil + `"}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]string{
			"/v1/documents": `{"data":[` + document + `],"next_cursor":null}`, "/v1/documents/d": document,
			"/v1/dead-letters": `{"data":[` + letter + `],"next_cursor":null}`, "/v1/dead-letters/d": letter,
			"/v1/search": `{"query":"q","passages":[` + passage + `]}`,
			"/v1/chat": "event: delta\ndata: {\"text\":\"" + evil + "\"}\n\nevent: done\ndata: {\"answer\":\"x\",\"model\":\"" + evil + "\",\"citations\":[{\"marker\":1,\"title\":\"" + evil +
				"\",\"quote\":\"" + evil + "\"}],\"conversation_id\":\"" + evil + "\"}\n\n",
		}
		if text, ok := answers[r.URL.Path]; ok {
			_, _ = io.WriteString(w, text)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"status":409,"code":"`+evil+`","detail":"`+evil+`"}`)
	}))
	t.Cleanup(s.Close)
	for _, args := range []string{
		"documents ls", "documents show d", "documents show away", "dead ls", "dead show d", "dead redrive d", "search q", "ask q", "ingest plain_test.go",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			out, errs, _ := command(t, false, append(strings.Fields(args), "--server", s.URL)...)
			steers := func(r rune) bool {
				return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
			}
			if text := out + errs; !strings.Contains(text, "ev") || strings.ContainsFunc(text, steers) {
				t.Errorf("printed %q", text)
			}
			if args == "documents ls" && (strings.Count(out, "\n") != 2 || len(out) > 600) {
				t.Errorf("a title breaks or bloats the table: %q", out)
			}
		})
	}
}
