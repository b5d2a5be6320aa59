package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// command runs a command line with a server that cannot be started and settings that are fine.
func command(t *testing.T, colour bool, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), IO{Out: &o, Err: &e, Colour: colour}, args, Program{
		Version: "v1",
		Serve: func(context.Context, config.Vars, io.Writer, io.Writer, bool) error {
			return errors.New("the port is taken")
		},
		Settings: func(config.Vars) ([]config.Setting, error) {
			return []config.Setting{{Name: "RAGBUS_A", Value: "1", Source: "default"}, {Name: "RAGBUS_B", Source: "default"}, {Name: "RAGBUS_C", Value: "3", Source: "C"}}, nil
		},
		Operator: operator{},
	})
	return o.String(), e.String(), code
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args string
		code int
		out  string
		errs string
	}{
		{"version", ExitOK, "ragbus v1\n", ""},
		{"version --json", ExitOK, "{\n  \"version\": \"v1\"\n}\n", ""},
		{"config", ExitOK, "RAGBUS_A                         1\nRAGBUS_B                         (not set)\nRAGBUS_C                         3 from C\n", ""},
		{"serve", ExitError, "", "ragbus: the port is taken\n"},
		{"help nope", ExitUsage, "", "ragbus: unknown command \"nope\" for \"ragbus\"\n"},
		{"help keys nope", ExitUsage, "", "ragbus: unknown command \"nope\" for \"ragbus keys\"\n"},
		{"version now", ExitUsage, "", "ragbus: unknown command \"now\" for \"ragbus version\"\n"},
		{"status --server nowhere", ExitUsage, "", "ragbus: \"nowhere\" is not the address of a server; use http://host:port\n"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			out, errs, code := command(t, false, strings.Fields(c.args)...)
			if d := cmp.Diff([]any{c.code, c.out, c.errs}, []any{code, out, errs}); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestColoursOnlyWhereTheyShow(t *testing.T) {
	t.Parallel()
	for _, colour := range []bool{true, false} {
		if out, _, _ := command(t, colour, "config"); strings.Contains(out, "\x1b[2m(not set)\x1b[0m") != colour {
			t.Errorf("with colour %v: %q", colour, out)
		}
	}
}

func TestStatusOfAnUnwellServer(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			_, _ = io.WriteString(w, "# TYPE ragbus_queue_waiting gauge\nragbus_queue_waiting{consumer=\"retriever\",stream=\"RAG_CHAT\"} 7\n"+
				"# TYPE ragbus_queue_oldest_seconds gauge\nragbus_queue_oldest_seconds{consumer=\"retriever\"} 1.5\n")
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":"degraded","services":{"llm":"unhealthy: no quota","broker":"healthy"}}`)
	}))
	t.Cleanup(s.Close)
	out, errs, code := command(t, false, "status", "--server", s.URL)
	if code != ExitError || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, want := range []string{"is degraded", "unhealthy: no quota", "retriever  7"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b/two.txt", "b/.hidden", "b/.git/config", "a.txt", ".own"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"link": "b", "c/file": "../b/.hidden", "c/.dark": "../a.txt", "c/circle": "..", "c/away": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		args    []string
		want    []string
		skipped []string
	}{
		{"a folder", []string{""}, []string{"a.txt", "b/two.txt", "c/file"}, []string{
			"c/away: a link that cannot be followed", "c/circle: a link to a folder; name it to ingest what is there", "link: a link to a folder; name it to ingest what is there",
		}},
		{"a folder with a slash", []string{"b/"}, []string{"b/two.txt"}, nil},
		{"a folder by a link", []string{"link"}, []string{"link/two.txt"}, nil},
		{"a file by a link", []string{"c/file"}, []string{"c/file"}, nil},
		{"a hidden file that is named", []string{".own"}, []string{".own"}, nil},
		{"several", []string{"a.txt", "b"}, []string{"a.txt", "b/two.txt"}, nil},
		{"nothing", []string{"nowhere"}, nil, nil},
		{"an empty folder", []string{"b/.git/../.hidden/.."}, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := make([]string, len(c.args))
			for i, arg := range c.args {
				args[i] = dir + "/" + arg
			}
			got, skipped, err := files(args)
			for _, list := range [][]string{got, skipped} {
				for i := range list {
					list[i] = strings.TrimPrefix(filepath.ToSlash(list[i]), filepath.ToSlash(dir)+"/")
				}
			}
			if d := cmp.Diff(c.want, got) + cmp.Diff(c.skipped, skipped); d != "" || (err != nil) != (c.want == nil) {
				t.Errorf("%v %s", err, d)
			}
		})
	}
}

func TestADocumentKeepsItsIDAsLongAsItsPath(t *testing.T) {
	t.Parallel()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	a, b := documentID("folder/../x.md"), documentID(filepath.Join(wd, "x.md"))
	if a != b || a == documentID("y.md") || a == "" {
		t.Errorf("the ids are %q and %q", a, b)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	three := 3
	for want, p := range map[string]client.Passage{
		"Policy":                        {Title: "Policy"},
		"Policy › Hotels":               {Title: "Policy", Section: "Hotels"},
		"Policy › Hotels › Oslo":        {Title: "Policy", Section: "Policy › Hotels › Oslo"},
		"Policy › Policy makers":        {Title: "Policy", Section: "Policy makers"},
		"Report, page 3":                {Title: "Report", Section: "Report", PageStart: &three},
		"Report › Costs, page 3":        {Title: "Report", Section: "Costs", PageStart: &three},
		"Report › Part › Costs, page 3": {Title: "Report", Section: "Part › Costs", PageStart: &three},
	} {
		if got := place(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestShorten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", " a \n b ": "a b", "äöüäöü": "äöüä…", "abc def": "abc…"} {
		if got := shorten(text, 4); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func FuzzQueues(f *testing.F) {
	f.Add("# TYPE ragbus_queue_waiting gauge\nragbus_queue_waiting{consumer=\"x\"} 1\n")
	f.Add("ragbus_queue_waiting 1\nragbus_queue_waiting{consumer=")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := queues(text)
		if err == nil && got == nil {
			t.Error("neither queues nor an error")
		}
	})
}
