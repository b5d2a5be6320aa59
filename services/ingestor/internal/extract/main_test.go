package extract

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// scriptMagic begins a file whose lines, one a page, say what its reader
// suffers: a stand-in for documents that break a parser in ways nobody has
// found yet. It looks like a PDF to the parent and like a script to the child.
const scriptMagic = "%PDF-script\n"

func TestMain(m *testing.M) {
	if IsChild() {
		os.Exit(childMain(os.Stdin, os.Stdout, scriptedEngines))
	}
	goleak.VerifyTestMain(m)
}

func scriptedEngines(mediaType string) engine {
	genuine := engineFor(mediaType)
	if mediaType != PDF {
		return genuine
	}
	return func(ctx context.Context, req request, f *os.File, size int64, out *frameWriter) error {
		content := make([]byte, size)
		if _, err := f.ReadAt(content, 0); err != nil {
			return fmt.Errorf("read script: %w", err)
		}
		script, ok := strings.CutPrefix(string(content), scriptMagic)
		if !ok {
			return genuine(ctx, req, f, size, out)
		}
		pages := script2pages(script)
		if len(pages) > 0 && pages[0] == "open hangs" {
			hang()
		}
		return readPages(ctx, req, pages, out)
	}
}

func script2pages(script string) scripted {
	return strings.Split(strings.TrimSuffix(script, "\n"), "\n")
}

type scripted []string

func (s scripted) Pages() int    { return len(s) }
func (s scripted) Title() string { return "a script" }

func hang() {
	for n := 0; ; n++ {
		if n < 0 {
			return
		}
	}
}

func (s scripted) Text(_ context.Context, n int) (page.Page, loss, error) {
	switch line := s[n-1]; line {
	case "hang":
		hang()
	case "crash":
		crashed := make(chan struct{})
		go func() { panic("a crash that no recover sees") }()
		<-crashed
	case "memory":
		var held [][]byte
		for len(held) < 1<<16 {
			block := make([]byte, 1<<20)
			for i := range block {
				block[i] = byte(i)
			}
			held = append(held, block)
		}
		return page.Page{Text: strconv.Itoa(len(held))}, lossNone, nil
	case "one allocation":
		block := make([]byte, 1<<40)
		return page.Page{Text: strconv.Itoa(len(block))}, lossNone, nil
	case "exit":
		syscall.Exit(0) // os.Exit sleeps for a second under the race detector
	case "garbage":
		if _, err := os.Stdout.WriteString("\xff\xff\xff\xffp{}"); err != nil {
			return page.Page{}, lossNone, fmt.Errorf("write garbage: %w", err)
		}
		hang()
	case "killed":
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return page.Page{}, lossNone, fmt.Errorf("kill: %w", err)
		}
		select {}
	case "environment":
		return page.Page{Text: "environment: " + strings.Join(os.Environ(), " ")}, lossNone, nil
	case "pid":
		return page.Page{Text: strconv.Itoa(os.Getpid())}, lossNone, nil
	case "error":
		return page.Page{}, lossNone, fault.Permanentf("page_damaged", "it is damaged")
	case "a scan":
		return page.Page{}, lossImage, nil
	case "cut":
		return page.Page{Text: "what is left"}, lossPart, nil
	case "unknown loss":
		return page.Page{}, "of memory", nil
	case "blank":
		return page.Page{}, lossNone, nil
	default:
		return page.Page{Text: line, Headings: []page.Heading{{Level: 1, Text: line}}}, lossNone, nil
	}
	return page.Page{}, lossNone, errors.New("unreachable")
}

// file writes content to a file and opens it.
func file(t testing.TB, content string) *os.File {
	t.Helper()
	path := t.TempDir() + "/document"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return openFile(t, path)
}

func openFile(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

func extractor(t testing.TB, limits Limits) *Extractor {
	t.Helper()
	e, err := New(limits, 2)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// run extracts content and returns the texts of its pages.
func run(t testing.TB, e *Extractor, src Source) ([]string, Summary, error) {
	t.Helper()
	var texts []string
	sum, err := e.Extract(t.Context(), src, func(p Page) error {
		texts = append(texts, p.Text)
		return nil
	})
	return texts, sum, err
}

func script(lines ...string) string { return scriptMagic + strings.Join(lines, "\n") + "\n" }

// wantFault checks class, code and that the message is fit for an uploader.
func wantFault(t testing.TB, err error, code string) {
	t.Helper()
	got, message := fault.Public(err)
	if !fault.Is(err, fault.Permanent) || got != code || message == "" {
		t.Errorf("error is %v (class %v, code %q), want a permanent %q", err, fault.Of(err), got, code)
	}
	if strings.Contains(message, "goroutine") || strings.Contains(message, "/tmp") {
		t.Errorf("message is not for strangers: %q", message)
	}
}

// startChild starts a child by hand, as a parent that is about to die has done.
func startChild(t testing.TB, e *Extractor, src Source, req request) *process {
	t.Helper()
	c, err := e.start(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ask(req); err != nil {
		t.Fatal(err)
	}
	frames := bufio.NewReader(c.stdout)
	for {
		kind, _, err := readFrame(frames)
		if err != nil {
			t.Fatal(err)
		}
		if kind == frameStarted {
			return c
		}
	}
}

const generous = 2 * time.Minute
