package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/ragbus/ragbus/pkg/config"
)

// broken takes so many bytes and then fails.
type broken struct {
	room int
	err  error
}

func (b *broken) Write(p []byte) (int, error) {
	n := min(b.room, len(p))
	if b.room -= n; n < len(p) {
		return n, b.err
	}
	return n, nil
}

func runTo(t *testing.T, out io.Writer, args ...string) (errs string, code int) {
	t.Helper()
	var e bytes.Buffer
	code = Run(t.Context(), IO{Out: out, Err: &e}, args, Program{
		Version: "v1", Operator: operator{},
		Serve: func(context.Context, config.Vars, io.Writer, io.Writer, bool) error { return nil },
		Settings: func(config.Vars) ([]config.Setting, error) {
			return []config.Setting{{Name: "RAGBUS_A", Value: "1", Source: "default"}}, nil
		},
	})
	return e.String(), code
}

func TestWhatCannotBePrintedIsAnError(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"version", "version --json", "config", "migrate --help", "help", "topology apply", "verify", "keys ls"} {
		errs, code := runTo(t, &broken{err: syscall.ENOSPC}, strings.Fields(args)...)
		if code != ExitError || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, syscall.ENOSPC.Error()) {
			t.Errorf("%s: exit code %d, said %q", args, code, errs)
		}
	}
	if errs, code := runTo(t, &broken{err: syscall.EPIPE}, "version"); code != ExitOK || errs != "" {
		t.Errorf("to a reader who went away: exit code %d, said %q", code, errs)
	}
}

func TestWhatTheServerRefusesAsWrittenIsAMistakeOfUse(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{http.StatusBadRequest: ExitUsage, http.StatusNotFound: ExitError, http.StatusConflict: ExitError, http.StatusServiceUnavailable: ExitError} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"detail":"limit: use 1 to 100","code":"invalid_request"}`)
		}))
		defer s.Close()
		for _, args := range []string{"search --limit 0 x", "documents ls --status foo", "dead ls --stage nope", "ask x"} {
			errs, code := runTo(t, io.Discard, append(strings.Fields(args), "--server", s.URL)...)
			if code != want || !strings.Contains(errs, "use 1 to 100") {
				t.Errorf("%s, status %d: exit code %d, said %q", args, status, code, errs)
			}
		}
	}
}

func TestAnErrorBeginsItsOwnLineAfterAPartOfAnAnswer(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: delta\ndata: {\"text\":\"Probation las\"}\n\n")
	}))
	defer s.Close()
	// Both go to the same terminal.
	var terminal bytes.Buffer
	code := Run(t.Context(), IO{Out: &terminal, Err: &terminal}, []string{"ask", "how long?", "--server", s.URL}, Program{Operator: operator{}})
	if code != ExitError || !strings.HasPrefix(terminal.String(), "Probation las\nragbus: ") {
		t.Errorf("exit code %d: %q", code, &terminal)
	}
}
