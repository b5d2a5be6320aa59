package extract

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ragbus/ragbus/pkg/fault"
)

// maxFrame bounds one frame in either direction. A part of page.MaxPart bytes
// doubles at most in JSON; the rest is room for its headings.
const maxFrame = 16 << 20

// frameKind is the first byte of a frame's body.
type frameKind byte

const (
	// frameOpened: the document is open; how many pages, which title.
	frameOpened frameKind = 'o'
	// frameStarted: work on a page begins.
	frameStarted frameKind = 's'
	// framePage: a part of a page.
	framePage frameKind = 'p'
	// frameSkipped: a page could not be read; why.
	frameSkipped frameKind = 'k'
	// frameLost: not all of the page that was read last became text; what did not.
	frameLost frameKind = 'l'
	// frameEnd: all is said.
	frameEnd frameKind = 'e'
	// frameFault: the document could not be read; why.
	frameFault frameKind = 'x'
	// frameRequest: what the parent asks for.
	frameRequest frameKind = 'r'
)

// openedBody is the body of frameOpened and frameEnd.
type openedBody struct {
	Pages int    `json:"pages"`
	Title string `json:"title"`
}

// pageBody is the body of frameStarted and frameSkipped.
type pageBody struct {
	Page   int    `json:"page"`
	Reason string `json:"reason,omitempty"`
}

// lostBody is the body of frameLost.
type lostBody struct {
	Loss loss `json:"loss"`
}

// faultBody is the body of frameFault. An error that is not Permanent has no code.
type faultBody struct {
	Permanent bool   `json:"permanent"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message"`
}

// request is the body of frameRequest.
type request struct {
	MediaType string `json:"media_type"`
	// ContentType is the declared or detected type with its charset, for HTML.
	ContentType string `json:"content_type"`
	FirstPage   int    `json:"first_page"`
	Limits      Limits `json:"limits"`
}

// frameWriter writes frames: four bytes of length, big endian, of what
// follows; one byte of kind; JSON.
type frameWriter struct {
	w *bufio.Writer
}

func newFrameWriter(w io.Writer) *frameWriter {
	return &frameWriter{w: bufio.NewWriterSize(w, 64<<10)}
}

// write buffers a frame; flush sends what is buffered.
func (f *frameWriter) write(kind frameKind, body any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	if buf.Len()+1 > maxFrame {
		return fault.Permanentf("too_complex", "a page of the document has too much structure to be read")
	}
	var head [5]byte
	binary.BigEndian.PutUint32(head[:], uint32(buf.Len()+1))
	head[4] = byte(kind)
	if _, err := f.w.Write(head[:]); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	if _, err := f.w.Write(buf.Bytes()); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

func (f *frameWriter) flush() error {
	if err := f.w.Flush(); err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return nil
}

// errFrame says that bytes are not a frame.
var errFrame = errors.New("malformed frame")

// readFrame reads one frame; io.EOF means that there is none left,
// io.ErrUnexpectedEOF that its rest is missing. The
// length is checked before memory is taken for it.
func readFrame(r *bufio.Reader) (frameKind, json.RawMessage, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, fmt.Errorf("read frame: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > maxFrame {
		return 0, nil, fmt.Errorf("%w: length %d", errFrame, n)
	}
	var body bytes.Buffer
	if copied, err := io.CopyN(&body, r, int64(n)-1); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, fmt.Errorf("read frame: %d of %d bytes: %w", copied, n-1, err)
	}
	return frameKind(head[4]), body.Bytes(), nil
}

// unpack reads the JSON body of a frame.
func unpack[T any](body json.RawMessage) (T, error) {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("%w: %w", errFrame, err)
	}
	return v, nil
}
