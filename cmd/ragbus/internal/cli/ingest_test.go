package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// refusing is a server that takes files named good.txt and refuses all others.
func refusing(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "good.txt") {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"d","status":"indexed","progress":{"chunks":1,"embedded":1}}`)
			return
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"status":400,"code":"empty_document","detail":"the document is empty","request_id":"r-7"}`)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
