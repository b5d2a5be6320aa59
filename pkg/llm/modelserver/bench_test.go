package modelserver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/llm/modelserver"
)

// BenchmarkCall is what a call costs the server: it must not be what a load test measures.
func BenchmarkCall(b *testing.B) {
	sources := prompt
	for range 3 {
		sources = strings.Replace(sources, "It is 41 metres tall.", "It is 41 metres tall. "+strings.Repeat("The keeper rows out to the island once a week. ", 20), 1)
	}
	body, err := json.Marshal(map[string]any{"model": "m", "stream": true, "messages": []map[string]string{{"role": "user", "content": sources}}})
	if err != nil {
		b.Fatal(err)
	}
	s, err := modelserver.New("", modelserver.Behaviour{Tokens: 60})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/v1/chat/completions", strings.NewReader(string(body))))
		if w.Code != http.StatusOK || w.Body.Len() < 1000 {
			b.Fatal(w.Code, w.Body)
		}
	}
}
