package load_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/load"
)

// answering is a server that answers each question with status and body.
func answering(t *testing.T, answer func(question string) (int, string)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Question, Query string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		status, body := answer(in.Question + in.Query)
		w.WriteHeader(status)
		if _, err := io.WriteString(w, body); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestWhatIsNotAnsweredIsNotCounted(t *testing.T) {
	t.Parallel()
	const good = `{"status":"completed","citations":[{"quote":"x"}]}`
	for _, c := range []struct {
		name, body     string
		status         int
		stream, search bool
		failed         bool
	}{
		{name: "cited", status: 200, body: good},
		{name: "refused", status: 429, body: good, failed: true},
		{name: "not cited", status: 200, body: `{"status":"completed","citations":[]}`, failed: true},
		{name: "failed", status: 200, body: `{"status":"failed","citations":[{"quote":"x"}]}`, failed: true},
		{name: "streamed", status: 200, stream: true, body: "id: 1\nevent: delta\ndata: {}\n\nid: 2\nevent: done\ndata: " + good + "\n\n"},
		{name: "cut stream", status: 200, stream: true, body: "id: 1\nevent: delta\ndata: " + good + "\n\n", failed: true},
		{name: "passages", status: 200, search: true, body: `{"passages":[{"document_id":"d"}]}`},
		{name: "no passages", status: 200, search: true, body: `{"passages":[]}`, failed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := answering(t, func(string) (int, string) { return c.status, c.body })
			r, err := load.Drive(t.Context(), load.Plan{Addr: addr, Sections: 3, Questions: 7, Clients: 2, Stream: c.stream, Search: c.search})
			if err != nil {
				t.Fatal(err)
			}
			if r.Questions != 7 || (r.Failed == 7) != c.failed || (r.Failed == 0) == c.failed || (r.FirstFailure != "") != c.failed {
				t.Errorf("report %+v", r)
			}
			if !c.failed && (r.P50 <= 0 || r.P99 < r.P50 || r.Max < r.P99 || r.First <= 0 || r.First > r.Max || r.PerSecond() <= 0 || r.Bytes != int64(7*len(c.body))) {
				t.Errorf("times of %+v", r)
			}
		})
	}
}

func TestEveryQuestionIsAskedOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]int{}
	addr := answering(t, func(q string) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		asked[q]++
		return 200, `{"status":"completed","citations":[{"quote":"x"}]}`
	})
	p := load.Plan{Addr: addr, Seed: 4, Sections: 100, First: 10, Questions: 50, Clients: 8}
	if _, err := load.Drive(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	library, want := load.NewLibrary(4, 100), map[string]int{}
	for n := range 50 {
		want[library.Question(10+n)]++
	}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

func TestAServerThatIsAwayIsAnError(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	addr := strings.TrimPrefix(s.URL, "http://")
	s.Close()
	if _, err := load.Drive(t.Context(), load.Plan{Addr: addr, Sections: 1, Questions: 1, Clients: 1}); err == nil {
		t.Error("no error")
	}
	if _, err := load.Drive(t.Context(), load.Plan{Addr: addr}); err == nil {
		t.Error("an empty plan was carried out")
	}
}

func TestTheLibraryIsAlwaysTheSame(t *testing.T) {
	t.Parallel()
	a, b := load.NewLibrary(1, 120), load.NewLibrary(1, 120)
	if a.Documents() != 3 || a.Document(2) != b.Document(2) || a.Question(5) != b.Question(5) {
		t.Error("two libraries of one seed differ")
	}
	if a.Document(0).Markdown == a.Document(1).Markdown || a.Document(0).Markdown == load.NewLibrary(2, 120).Document(0).Markdown {
		t.Error("two documents are alike")
	}
	if last := a.Document(2); last.Sections != 20 || strings.Count(last.Markdown, "\n## ") != 20 {
		t.Errorf("the last document has %d sections", last.Sections)
	}
}

// The whole server answers, with the load from another process.
func TestTheServerAnswersManyClients(t *testing.T) {
	t.Parallel()
	r := serve(t, t.TempDir(), scripted(t))
	r.fill(t, 60)
	for _, stream := range []bool{false, true} {
		p := r.plan(60, 64, 16)
		p.Stream = stream
		report, err := load.DriveApart(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if report.Failed != 0 || report.Questions != 64 {
			t.Errorf("%d of %d failed: %s", report.Failed, report.Questions, report.FirstFailure)
		}
	}
	var list struct {
		Data []struct {
			Turns int `json:"turns"`
		} `json:"data"`
	}
	if err := r.Do(t.Context(), http.MethodGet, "/v1/conversations", nil, nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Data) != 20 { // a page of them
		t.Errorf("%d conversations are on record", len(list.Data))
	}
}

func TestLongPDFsAreRead(t *testing.T) {
	t.Parallel()
	r := serve(t, t.TempDir(), scripted(t))
	const pages = 12
	data := load.NewLibrary(seed, 2*pages).PDF(pages)
	doc, _, err := r.Upload(t.Context(), pdfFile(data))
	if err != nil {
		t.Fatal(err)
	}
	if doc, err = load.Indexed(t.Context(), r.Client, doc); err != nil {
		t.Fatal(err)
	}
	if doc.Pages == nil || *doc.Pages != pages || doc.Progress.Chunks < 2*pages || len(doc.Warnings) > 0 {
		t.Errorf("pages %v, %d chunks, warnings %v", doc.Pages, doc.Progress.Chunks, doc.Warnings)
	}
}
