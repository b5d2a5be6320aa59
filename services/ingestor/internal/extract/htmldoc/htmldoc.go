// Package htmldoc reads HTML. Bytes of a page enter; its readable text leaves
// as headings, paragraphs, list items, table rows and code. Scripts, styles,
// navigation and whatever a reader does not see stay behind, for a model must
// not read what a person cannot. It works on tokens, not on a tree, so that
// memory does not depend on the nesting or the size of the page.
package htmldoc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

const (
	// maxToken bounds one token (a text, a script, a tag with its attributes).
	maxToken = 16 << 20
	// maxDepth bounds the elements that are tracked at once; deeper ones count as text.
	maxDepth = 256
	// ctxEvery is after how many tokens the context is asked.
	ctxEvery = 1024
)

// Result says what was read.
type Result struct {
	// Title is the title element's text, else the first h1, else "".
	Title string
	Bytes int64
}

// Options say how to read a page.
type Options struct {
	// ContentType is the declared media type with its charset, or "".
	ContentType string
	// MaxBytes bounds the text; beyond it the fault is "too_much_text".
	MaxBytes int64
}

// Read reads the page in r and hands its parts to emit. It reads r twice:
// first to see where the page's main content is.
func Read(ctx context.Context, r io.ReadSeeker, opts Options, emit func(page.Page) error) (Result, error) {
	var s survey
	if err := tokens(ctx, r, opts.ContentType, s.token); err != nil {
		return Result{}, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Result{}, fmt.Errorf("rewind html: %w", err)
	}
	out := page.NewBuilder(opts.MaxBytes, emit)
	w := &renderer{out: out, onlyMain: s.mainHolds(), hasMain: s.mains+s.articles > 0, xhtml: s.xhtml}
	if err := tokens(ctx, r, opts.ContentType, w.token); err != nil {
		return Result{}, err
	}
	if err := w.close(); err != nil {
		return Result{}, err
	}
	title := page.OneLine(w.title.String())
	if title == "" {
		title = out.Title()
	}
	return Result{Title: title, Bytes: out.Bytes()}, nil
}

// tokens feeds every token of r to fn until fn fails.
func tokens(ctx context.Context, r io.Reader, contentType string, fn func(html.TokenType, *html.Tokenizer) error) error {
	decoded, err := charset.NewReader(r, contentType)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("decode html: %w", err)
	}
	z := html.NewTokenizer(decoded)
	z.SetMaxBuf(maxToken)
	for n := 0; ; n++ {
		if n%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		tt := z.Next()
		if tt == html.ErrorToken {
			switch err := z.Err(); {
			case errors.Is(err, io.EOF):
				return nil
			case errors.Is(err, html.ErrBufferExceeded):
				return fault.Permanentf("too_complex", "the HTML holds a single element of more than %d MB; remove embedded data and try again", maxToken>>20)
			default:
				return fmt.Errorf("read html: %w", err)
			}
		}
		if err := fn(tt, z); err != nil {
			return err
		}
	}
}

// survey is the first pass: how much of the text is in the main element.
type survey struct {
	mains, articles int
	// depth counts open elements named mainTag, while a main element is open.
	depth         int
	mainTag       string
	raw           int
	inMain, total int
	xhtml         bool
	tokensSeen    int
}

// mainHolds reports whether the main element holds enough of the page to be all of it that counts.
func (s *survey) mainHolds() bool { return s.mains > 0 && s.inMain*4 >= s.total && s.inMain > 0 }

func (s *survey) token(tt html.TokenType, z *html.Tokenizer) error {
	s.tokensSeen++
	switch tt {
	case html.CommentToken:
		if s.tokensSeen <= 2 && strings.HasPrefix(string(z.Text()), "?xml") {
			s.xhtml = true
		}
	case html.TextToken:
		if s.raw == 0 {
			n := len(strings.TrimSpace(string(z.Text())))
			s.total += n
			if s.depth > 0 {
				s.inMain += n
			}
		}
	case html.StartTagToken:
		s.start(z)
	case html.EndTagToken:
		name, _ := z.TagName()
		if isRaw(string(name)) && s.raw > 0 {
			s.raw--
		}
		if s.depth > 0 && string(name) == s.mainTag {
			s.depth--
		}
	case html.ErrorToken, html.SelfClosingTagToken, html.DoctypeToken:
	}
	return nil
}

func (s *survey) start(z *html.Tokenizer) {
	nameBytes, more := z.TagName()
	name := string(nameBytes)
	if isRaw(name) {
		s.raw++
	}
	if s.depth > 0 {
		if name == s.mainTag {
			s.depth++
		}
		return
	}
	isMain := name == "main"
	for more && !isMain {
		var key, val []byte
		key, val, more = z.TagAttr()
		isMain = string(key) == "role" && string(val) == "main"
	}
	if isMain {
		s.mains++
		s.mainTag, s.depth = name, 1
	}
	if name == "article" {
		s.articles++
	}
}

// isRaw reports elements whose content is never text of the page.
func isRaw(name string) bool { return name == "script" || name == "style" || name == "title" }
