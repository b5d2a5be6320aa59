package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// desk is a server with dead letters, which remembers what it was asked.
type desk struct {
	*httptest.Server

	mu    sync.Mutex
	asked []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{}
	letter := func(id string) string {
		return fmt.Sprintf(`{"id":%q,"stage":"ingestor-embed","kind":"document.embed","about":"doc","class":"transient","code":"embedder_unavailable",`+
			`"message":"it is away","attempts":30,"redrives":1,"died_at":"2026-01-31T08:00:00Z"}`, id)
	}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.mu.Lock()
		d.asked = append(d.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		d.mu.Unlock()
		problem := func(status int, code string) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":"why"}`, status, code)
		}
		path, cursor := r.Method+" "+r.URL.Path, r.URL.Query().Get("cursor")
		switch {
		case path == "GET /v1/dead-letters" && cursor == "":
			_, _ = io.WriteString(w, `{"data":[`+letter("1-a")+`],"next_cursor":"1-0"}`)
		case path == "GET /v1/dead-letters":
			_, _ = io.WriteString(w, `{"data":[`+letter("2-b")+`],"next_cursor":null}`)
		case path == "GET /v1/dead-letters/1-a":
			_, _ = io.WriteString(w, letter("1-a"))
		case path == "DELETE /v1/dead-letters" && cursor == "":
			_, _ = io.WriteString(w, `{"deleted":100,"next_cursor":"7-9"}`)
		case path == "DELETE /v1/dead-letters":
			_, _ = io.WriteString(w, `{"deleted":3,"next_cursor":null}`)
		case path == "DELETE /v1/dead-letters/1-a":
			w.WriteHeader(http.StatusNoContent)
		case path == "POST /v1/dead-letters/1-a/redrive":
			_, _ = io.WriteString(w, `{"id":"1-a","outcome":"redriven","redrives":2}`)
		case path == "POST /v1/dead-letters/2-b/redrive":
			problem(http.StatusConflict, "dead_letter_cause_persists")
		case path == "POST /v1/dead-letters/redrive" && !strings.Contains(string(body), "cursor"):
			_, _ = io.WriteString(w, `{"redriven":2,"obsolete":1,"refused":0,"failed":0,"refusals":[],"next_cursor":"4-9"}`)
		case path == "POST /v1/dead-letters/redrive":
			_, _ = io.WriteString(w, `{"redriven":1,"obsolete":0,"refused":0,"failed":0,"refusals":[],"next_cursor":null}`)
		default:
			problem(http.StatusNotFound, "dead_letter_not_found")
		}
	}))
	t.Cleanup(d.Close)
	return d
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
		// out and errs are parts of what is printed, asked all that the server was asked.
		out   []string
		errs  string
		asked []string
	}{
		{"ls", ExitOK, []string{"ID   DIED", "1-a  2026-01-31 08:00:00Z  ingestor-embed", "2-b"}, "", []string{"GET /v1/dead-letters?limit=100", "GET /v1/dead-letters?cursor=1-0&limit=100"}},
		{"ls --limit 1", ExitOK, []string{"1-a"}, "the first 1 are shown", []string{"GET /v1/dead-letters?limit=100", "GET /v1/dead-letters?cursor=1-0&limit=100"}},
		{"ls --stage generator --class transient", ExitOK, nil, "", []string{
			"GET /v1/dead-letters?class=transient&limit=100&stage=generator", "GET /v1/dead-letters?class=transient&cursor=1-0&limit=100&stage=generator",
		}},
		{"ls --since sometime", ExitUsage, nil, "--since", nil},
		{"show 1-a", ExitOK, []string{`"code": "embedder_unavailable"`}, "", []string{"GET /v1/dead-letters/1-a"}},
		{"show", ExitUsage, nil, "accepts 1 arg", nil},
		{"show 9-z", ExitError, nil, "dead_letter_not_found", []string{"GET /v1/dead-letters/9-z"}},
		{"redrive 1-a", ExitOK, []string{"1 redriven, 0 had nothing to do any more, 0 refused, 0 failed"}, "", []string{`POST /v1/dead-letters/1-a/redrive {"force":false}`}},
		{"redrive 2-b 1-a --force", ExitError, []string{"1 redriven", "1 refused", "2-b  dead_letter_cause_persists  why"}, "", []string{
			`POST /v1/dead-letters/2-b/redrive {"force":true}`, `POST /v1/dead-letters/1-a/redrive {"force":true}`,
		}},
		{"redrive --all", ExitOK, []string{"3 redriven, 1 had nothing"}, "", []string{`POST /v1/dead-letters/redrive {"all":true}`, `POST /v1/dead-letters/redrive {"all":true,"cursor":"4-9"}`}},
		{"redrive --code x --force --json", ExitOK, []string{`"redriven": 3`}, "", []string{
			`POST /v1/dead-letters/redrive {"code":"x","force":true}`, `POST /v1/dead-letters/redrive {"code":"x","force":true,"cursor":"4-9"}`,
		}},
		{"redrive", ExitUsage, nil, "say --all", nil},
		{"redrive 1-a --all", ExitUsage, nil, "not both", nil},
		{"rm 1-a", ExitOK, []string{"1 removed"}, "", []string{"DELETE /v1/dead-letters/1-a"}},
		{"rm --stage generator", ExitOK, []string{"103 removed"}, "", []string{
			"DELETE /v1/dead-letters?limit=100&stage=generator", "DELETE /v1/dead-letters?cursor=7-9&limit=100&stage=generator",
		}},
		{"rm --all --json", ExitOK, []string{`"deleted": 103`}, "", []string{"DELETE /v1/dead-letters?all=true&limit=100", "DELETE /v1/dead-letters?all=true&cursor=7-9&limit=100"}},
		{"rm", ExitUsage, nil, "say --all", nil},
		{"bury", ExitUsage, nil, "it has ls, show, redrive and rm", nil},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			out, errs, code := command(t, false, append([]string{"dead", "--server", d.URL}, strings.Fields(c.args)...)...)
			if code != c.code || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" {
				t.Errorf("exit code %d: %s", code, errs)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in:\n%s", want, out)
				}
			}
			if diff := cmp.Diff(c.asked, d.asked); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(c.args, "--json") && !json.Valid([]byte(out)) {
				t.Errorf("no JSON: %s", out)
			}
		})
	}
}

func TestDurationsBecomeTimes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	before := time.Now()
	if _, errs, code := command(t, false, "dead", "--server", d.URL, "ls", "--since", "24h", "--until", "2026-01-31T08:00:00Z"); code != ExitOK {
		t.Fatal(errs)
	}
	_, query, _ := strings.Cut(d.asked[0], "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	since, err := time.Parse(time.RFC3339Nano, values.Get("since"))
	if ago := before.Sub(since); err != nil || ago > 24*time.Hour || ago < 23*time.Hour || values.Get("until") != "2026-01-31T08:00:00Z" {
		t.Errorf("%v: %v", d.asked, err)
	}
}

func TestStatusTellsOfDeadLetters(t *testing.T) {
	t.Parallel()
	got, err := deadCounts("# TYPE ragbus_dead_letters gauge\nragbus_dead_letters{class=\"permanent\",stage=\"generator\"} 1\n" +
		"ragbus_dead_letters{class=\"transient\",stage=\"generator\"} 2\nragbus_dead_letters{class=\"transient\",stage=\"retriever\"} 0\n")
	if err != nil || deadByStage(got) != "generator 3" {
		t.Errorf("%v: %v", got, err)
	}
}

func TestStatusTellsOfWhatWaitsInLine(t *testing.T) {
	t.Parallel()
	got, err := lines("# TYPE ragbus_ingest_line_waiting gauge\nragbus_ingest_line_waiting{step=\"embed\"} 0\nragbus_ingest_line_waiting{step=\"extract\"} 99968\n" +
		"# TYPE ragbus_ingest_line_oldest_seconds gauge\nragbus_ingest_line_oldest_seconds{step=\"embed\"} 0\nragbus_ingest_line_oldest_seconds{step=\"extract\"} 61.5\n")
	if err != nil || !slices.Equal(got, []inLine{{"extract", 99968, 61.5}}) {
		t.Errorf("%v: %v", got, err)
	}
	var out strings.Builder
	(&app{server: "http://here"}).printStatus(&out, serverStatus{InLine: got})
	if !strings.Contains(out.String(), "IN LINE  99968 documents to extract, the oldest for 62s") {
		t.Errorf("%s", out.String())
	}
}
