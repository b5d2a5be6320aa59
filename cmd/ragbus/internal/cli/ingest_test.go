package cli

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

func TestIngestTellsTheServersCodeInItsColumn(t *testing.T) {
	t.Parallel()
	server, dir := refusing(t), t.TempDir()
	bad := filepath.Join(dir, "bad.txt")
	if err := errors.Join(os.WriteFile(bad, nil, 0o600), os.Symlink("nowhere", filepath.Join(dir, "away"))); err != nil {
		t.Fatal(err)
	}
	out, _, code := command(t, false, "ingest", "--server", server, bad, filepath.Join(dir, "away"))
	if code != ExitError || !strings.Contains(out, bad+"  empty_document  the document is empty (request r-7)\n") || !strings.Contains(out, "away     -               open ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	out, _, _ = command(t, false, "ingest", "--json", "--server", server, bad)
	var results []result
	if err := json.Unmarshal([]byte(out), &results); err != nil || len(results) != 1 || results[0].Code != "empty_document" || results[0].Error != "the document is empty (request r-7)" {
		t.Errorf("%s: %v", out, err)
	}
}
