package extract

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/docx"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/htmldoc"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// childArg is the private first argument of a child process.
const childArg = "extract-child-of-ragbus"

// Exit codes of a child that ends early.
const (
	exitUsage    = 64
	exitOrphaned = 65
	exitMemory   = 66
)

// documentFD is the descriptor under which a child finds the document: the first extra file.
const documentFD = 3

// IsChild reports whether this process was started by an [Extractor] to read
// one document. Every program that uses one (a test binary too) must ask first
// thing and then do nothing but
//
//	if extract.IsChild() {
//		os.Exit(extract.ChildMain(os.Stdin, os.Stdout))
//	}
func IsChild() bool { return len(os.Args) > 1 && os.Args[1] == childArg }

// ChildMain reads one request from in, reads the document that came as a
// descriptor, writes its pages to out as frames, and returns the exit code.
// It ends the process when in ends, which is how a child outlives no parent.
func ChildMain(in io.Reader, out io.Writer) int {
	return childMain(in, out, engineFor)
}

// engine reads the document in f and says so in frames.
type engine func(ctx context.Context, req request, f *os.File, size int64, out *frameWriter) error

// engineFor returns the engine of a media type, or nil.
func engineFor(mediaType string) engine {
	switch mediaType {
	case PDF:
		return readPDF
	case DOCX:
		return readDOCX
	case HTML:
		return readHTML
	}
	return nil
}

func childMain(in io.Reader, out io.Writer, engines func(string) engine) int {
	frames := newFrameWriter(out)
	err := child(in, frames, engines)
	if err != nil {
		body := faultBody{Message: err.Error()}
		if fault.Is(err, fault.Permanent) {
			body.Permanent = true
			body.Code, body.Message = fault.Public(err)
		}
		if err := frames.write(frameFault, body); err != nil {
			return exitUsage
		}
	}
	if err := frames.flush(); err != nil {
		return exitUsage
	}
	return 0
}

func child(in io.Reader, frames *frameWriter, engines func(string) engine) error {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the root of a process of its own
	defer cancel()
	stdin := bufio.NewReader(in)
	kind, body, err := readFrame(stdin)
	if err != nil || kind != frameRequest {
		return fmt.Errorf("no request: %w", err)
	}
	req, err := unpack[request](body)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		os.Exit(exitOrphaned)
	}()
	if err := confine(req.Limits); err != nil {
		return fmt.Errorf("confine the child: %w", err)
	}
	f := os.NewFile(documentFD, "document")
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("no document: %w", err)
	}
	read := engines(req.MediaType)
	if read == nil {
		return fault.Permanentf("unsupported_media_type", "documents of type %s cannot be read", req.MediaType)
	}
	return read(ctx, req, f, info.Size(), frames)
}

// send returns an emit function that writes parts as frames and sends them at once.
func send(out *frameWriter) func(page.Page) error {
	return func(p page.Page) error {
		if err := out.write(framePage, p); err != nil {
			return err
		}
		return out.flush()
	}
}

func readHTML(ctx context.Context, req request, f *os.File, size int64, out *frameWriter) error {
	opts := htmldoc.Options{ContentType: req.ContentType, MaxBytes: req.Limits.TextBytes}
	res, err := htmldoc.Read(ctx, io.NewSectionReader(f, 0, size), opts, send(out))
	if err != nil {
		return err //nolint:wrapcheck // classified where it arose
	}
	return out.write(frameEnd, openedBody{Title: res.Title})
}

func readDOCX(ctx context.Context, req request, f *os.File, size int64, out *frameWriter) error {
	if err := checkZip(f, size); err != nil {
		return err
	}
	res, err := docx.Read(ctx, f, size, req.Limits.TextBytes, send(out))
	if err != nil {
		return err //nolint:wrapcheck // classified where it arose
	}
	return out.write(frameEnd, openedBody{Title: res.Title})
}

// paged is a document whose pages are read one by one.
type paged interface {
	Pages() int
	Title() string
	// Text returns page n, counted from 1, and what of it is not in its text.
	// An error's public message is the reason, in words that follow "page n
	// could not be read:".
	Text(ctx context.Context, n int) (page.Page, loss, error)
}

// readPages sends the pages of a document from the requested one on. A page
// that fails is reported and skipped.
func readPages(ctx context.Context, req request, doc paged, out *frameWriter) error {
	total := doc.Pages()
	if total > req.Limits.Pages {
		return fault.Permanentf("too_many_pages", "the document has %d pages; the limit is %d", total, req.Limits.Pages)
	}
	opened := openedBody{Pages: total, Title: page.OneLine(doc.Title())}
	if err := out.write(frameOpened, opened); err != nil {
		return err
	}
	for n := max(req.FirstPage, 1); n <= total; n++ {
		if err := out.write(frameStarted, pageBody{Page: n}); err != nil {
			return err
		}
		if err := out.flush(); err != nil {
			return err
		}
		if err := sendPage(ctx, doc, n, out); err != nil {
			return err
		}
	}
	return out.write(frameEnd, opened)
}

func sendPage(ctx context.Context, doc paged, n int, out *frameWriter) error {
	p, lost, err := doc.Text(ctx, n)
	if err != nil {
		return out.write(frameSkipped, pageBody{Page: n, Reason: reason(err)})
	}
	p.Number = n
	for _, part := range page.Split(page.CleanPage(p)) {
		if err := out.write(framePage, part); err != nil {
			return err
		}
	}
	if lost == lossNone {
		return nil
	}
	return out.write(frameLost, lostBody{Loss: lost})
}

// reason puts an error into words for the uploader.
func reason(err error) string {
	if code, message := fault.Public(err); code != "internal" {
		return message
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	text := err.Error()
	if len(text) > 200 {
		text = strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
