package reply

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/fault"
)

// ErrEnded is returned for a frame after the end.
var ErrEnded = errors.New("the answer has ended")

// Publisher sends frames. A *[nats.Conn] is one.
type Publisher interface {
	// PublishMsg sends without waiting for anybody.
	PublishMsg(m *nats.Msg) error
}

// Writer writes the frames of one stage's attempt. It is safe for concurrent
// use; frames go out in the order of the calls. An error of its methods is a
// Transient fault "broker_unavailable" (the attempt is then worthless: what
// the reader misses is a gap) or [ErrEnded].
type Writer struct {
	out     Publisher
	subject string
	request string
	stage   Stage
	attempt int
	name    string
	work    string

	mu      sync.Mutex
	seq     int
	ended   bool
	sources string
}

// NewWriter returns a writer to the reply subject of an event. A subject that
// is not this request's is a Permanent fault. With the subject "" nobody
// listens, and the writer accepts everything and sends nothing.
func NewWriter(out Publisher, subject, request string, stage Stage, attempt int) (*Writer, error) {
	if subject != "" {
		if err := CheckSubject(subject, request); err != nil {
			return nil, err
		}
	}
	return &Writer{out: out, subject: subject, request: request, stage: stage, attempt: max(attempt, 1), name: writerName()}, nil
}

// writerName makes a name that no other writer of the same answer has. It is no secret.
func writerName() string { return strconv.FormatUint(rand.Uint64(), 36) } //nolint:gosec // see above

// For returns w, whose frames say that they are written for the message that
// was stored at that time. Call it before anything is sent.
func (w *Writer) For(stored time.Time) *Writer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !stored.IsZero() {
		w.work = strconv.FormatInt(stored.UnixNano(), 10)
	}
	return w
}

// Abort tells the reader that a stage was given up after the given attempt at
// the message that was stored at that time, with an error frame of the attempt
// after it: frames of the failed one may have been sent, and the error must not
// be taken for one of them. It is what a Buried hook calls; v becomes the frame's JSON.
func Abort(out Publisher, subject, request string, stage Stage, stored time.Time, attempt int, v any) error {
	w, err := NewWriter(out, subject, request, stage, attempt+1)
	if err != nil {
		return err
	}
	return w.For(stored).Error(v)
}

// From says which sources the answer is written from, in the first frame: when
// a question was searched twice the reader may have been told others. Call it
// before anything is sent.
func (w *Writer) From(passages json.RawMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sources = digest(passages)
}

// Sources sends the passages, whose JSON the reader gets as it is. It must not be modified any more.
func (w *Writer) Sources(passages json.RawMessage) error { return w.send(Sources, passages) }

// Delta sends a piece of the answer's text. Nothing is sent for "".
func (w *Writer) Delta(text string) error {
	if text == "" {
		return nil
	}
	return w.send(Delta, []byte(text))
}

// Citation sends a checked citation as JSON.
func (w *Writer) Citation(v any) error { return w.json(Citation, v) }

// End sends the whole answer as JSON and closes it. Where nobody streams the
// answer it is the only frame, and holds the sources too.
func (w *Writer) End(v any) error { return w.json(End, v) }

// Error sends why there is no answer as JSON and closes it.
func (w *Writer) Error(v any) error { return w.json(Error, v) }

// json sends v. What is JSON already goes out as it is, unchecked.
func (w *Writer) json(t Type, v any) error {
	if data, ok := v.(json.RawMessage); ok {
		return w.send(t, data)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fault.As(fault.Permanent, fmt.Errorf("encode %s frame: %w", t, err))
	}
	return w.send(t, data)
}

func (w *Writer) send(t Type, data []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return ErrEnded
	}
	seq := w.seq + 1
	if w.subject != "" {
		f := Frame{Stage: w.stage, Attempt: w.attempt, Seq: seq, Type: t}
		m := &nats.Msg{Subject: w.subject, Header: nats.Header{HeaderFrame: {f.header()}, HeaderWriter: {w.name}}, Data: data}
		if w.work != "" {
			m.Header[HeaderWork] = []string{w.work}
		}
		if seq == 1 && w.sources != "" {
			m.Header[HeaderSources] = []string{w.sources}
		}
		if err := w.out.PublishMsg(m); err != nil {
			return sendFault(t, err)
		}
	}
	w.seq = seq
	w.ended = t == End || t == Error
	return nil
}

func sendFault(t Type, err error) error {
	if errors.Is(err, nats.ErrMaxPayload) {
		return fault.Permanentf("frame_too_large", "a part of the answer exceeds the broker's message limit").
			WithCause(fmt.Errorf("send %s frame: %w", t, err))
	}
	return fault.Transientf("broker_unavailable", "the message broker cannot be reached").
		WithCause(fmt.Errorf("send %s frame: %w", t, err))
}
