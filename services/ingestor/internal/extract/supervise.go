package extract

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

// Causes for which a child is killed.
var (
	errPageTime = errors.New("one page took too long")
	errTime     = errors.New("the document took too long")
	errMemory   = errors.New("the document took too much memory")
	errOver     = errors.New("the extraction is over")
)

// progress is what is known of a document across its children.
type progress struct {
	left time.Duration
	// current is the page being read, 0 outside pages; total is 0 until known.
	current, total int
	ended          bool
}

// supervise reads a document in child processes: one, and one more after
// each page that killed its child, up to the limit.
func (e *Extractor) supervise(ctx context.Context, src Source, kind Kind, s *sink) error {
	leave, err := e.places.take(ctx, src.Tenant)
	if err != nil {
		return err
	}
	defer leave()
	req := request{MediaType: kind.MediaType, ContentType: contentType(src, kind), FirstPage: 1, Limits: e.limits}
	p := &progress{left: e.limits.Time}
	for restarts := 0; ; restarts++ {
		p.current = 0
		err := e.attempt(ctx, src, req, p, s)
		var breach *breachError
		if !errors.As(err, &breach) {
			return err
		}
		if p.current == 0 {
			return breach.fault()
		}
		s.skip(p.current, breach.words)
		if restarts >= e.limits.Restarts || p.left <= 0 {
			return breach.fault()
		}
		req.FirstPage = p.current + 1
		if p.total > 0 && req.FirstPage > p.total {
			return nil
		}
	}
}

// contentType returns the type from which HTML takes its charset.
func contentType(src Source, kind Kind) string {
	switch kind.encoding {
	case textdoc.UTF16LE:
		return "text/html; charset=utf-16le"
	case textdoc.UTF16BE:
		return "text/html; charset=utf-16be"
	case textdoc.UTF8:
	}
	if kind.charset != "" {
		return "text/html; charset=" + kind.charset
	}
	return src.MediaType
}

// attempt runs one child to its end. A limit that it broke, or a crash, is a
// *breachError; anything else is final.
func (e *Extractor) attempt(parent context.Context, src Source, req request, p *progress, s *sink) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(errOver)
	c, err := e.start(ctx, src)
	if err != nil {
		return err
	}
	stop := c.watch(ctx, e.limits.Memory, cancel)
	err = c.ask(req)
	if err == nil {
		err = e.consume(c, p, s, cancel)
	}
	gone := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !gone {
		cancel(errOver)
	}
	exit := c.wait(cancel)
	stop()
	switch cause := context.Cause(ctx); {
	case parent.Err() != nil:
		return context.Cause(parent)
	case errors.Is(cause, errPageTime), errors.Is(cause, errTime), errors.Is(cause, errMemory):
		return limitBreach(cause, e.limits)
	case errors.Is(err, errFrame) && !gone:
		return crashBreach(err)
	case gone:
		return c.crash(exit, e.limits)
	}
	return err
}

// consume reads the child's frames until its last, handing on pages. Only the
// time spent waiting for the child counts against its limits.
func (e *Extractor) consume(c *process, p *progress, s *sink, kill context.CancelCauseFunc) error {
	frames := bufio.NewReaderSize(c.stdout, 64<<10)
	for !p.ended {
		began := time.Now()
		limit, cause := e.limits.PageTime, errPageTime
		if p.left < limit {
			limit, cause = p.left, errTime
		}
		timer := time.AfterFunc(limit, func() { kill(cause) })
		kind, body, err := readFrame(frames)
		timer.Stop()
		p.left -= time.Since(began)
		if err != nil {
			return err
		}
		if err := p.frame(kind, body, s); err != nil {
			return err
		}
	}
	return nil
}

// frame acts on one frame. What a child sends is not trusted.
func (p *progress) frame(kind frameKind, body json.RawMessage, s *sink) error {
	switch kind {
	case frameOpened, frameEnd:
		v, err := unpack[openedBody](body)
		if err != nil {
			return err
		}
		p.total, p.ended = v.Pages, kind == frameEnd
		s.summary.Pages, s.summary.Title = v.Pages, v.Title
	case frameStarted:
		v, err := unpack[pageBody](body)
		if err != nil {
			return err
		}
		if v.Page <= p.current {
			return fmt.Errorf("%w: page %d after %d", errFrame, v.Page, p.current)
		}
		p.current = v.Page
	case framePage:
		v, err := unpack[Page](body)
		if err != nil {
			return err
		}
		return s.page(v)
	case frameSkipped:
		v, err := unpack[pageBody](body)
		if err != nil {
			return err
		}
		s.skip(v.Page, v.Reason)
	case frameLost:
		v, err := unpack[lostBody](body)
		if err != nil {
			return err
		}
		if !s.lost.note(p.current, v.Loss) {
			return fmt.Errorf("%w: page %d lost %q", errFrame, p.current, v.Loss)
		}
	case frameFault:
		v, err := unpack[faultBody](body)
		if err != nil {
			return err
		}
		if v.Permanent {
			return fault.Permanentf(v.Code, "%s", v.Message)
		}
		return fmt.Errorf("extract in a child: %s", v.Message)
	case frameRequest:
		return fmt.Errorf("%w: a request from a child", errFrame)
	default:
		return fmt.Errorf("%w: kind %d", errFrame, kind)
	}
	return nil
}
