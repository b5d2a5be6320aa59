package reply

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	// HeaderFrame is the header of a frame: <stage>/<attempt>/<seq>/<type>.
	HeaderFrame = "Rag-Frame"
	// HeaderWriter is that of frames which say who wrote them.
	HeaderWriter = "Rag-Writer"
	// HeaderWork is that of frames which say what message they are written for.
	HeaderWork = "Rag-Work"
	// HeaderSources is that of an attempt's first frame which says from which
	// sources it is written: the digest of their JSON.
	HeaderSources = "Rag-Sources"
)

// Stage is the hop that a frame comes from.
type Stage string

// The stages, in their order.
const (
	Retrieve Stage = "retrieve"
	Generate Stage = "generate"
)

// Type says what a frame holds.
type Type string

// The types. End and Error close the answer. Usage and KeepAlive are read but
// not written any more, and tell nothing: what was used is in the end, and a
// gateway knows by itself when to give a sign of life. KeepAlive has no number
// of its own and repeats that of the frame before.
const (
	Sources   Type = "sources"
	Delta     Type = "delta"
	Citation  Type = "citation"
	End       Type = "end"
	Error     Type = "error"
	Usage     Type = "usage"
	KeepAlive Type = "keepalive"
)

// Frame is one piece of an answer.
type Frame struct {
	Request string
	Stage   Stage
	// Work is when the message was stored that the frame is written for, in
	// nanoseconds: a question may be on its way twice, under two messages, whose
	// attempts have the same numbers. 0 when that is not said.
	Work int64
	// Attempt is the delivery that wrote the frame, from 1.
	Attempt int
	// Writer tells two apart who write the same attempt: one who is thought dead
	// and goes on, and one whose delivery got the number of the other's next
	// try. "" when that is not said.
	Writer string
	// Seq counts the frames of a stage's attempt from 1.
	Seq  int
	Type Type
	// Sources is the digest of the sources that the attempt is written from, on
	// its first frame; "" when that does not say.
	Sources string
	// Data is text for a delta and JSON for all others.
	Data []byte
}

// digest names sources by their JSON. It need not withstand anybody: who may
// write frames may write any.
func digest(sources []byte) string { return strconv.FormatUint(xxhash.Sum64(sources), 16) }

// Subject returns the reply subject of a request that a gateway waits for.
// Both must be tokens; see [corpus.CheckToken].
func Subject(gateway, request string) string {
	return broker.FramesPrefix + gateway + "." + request
}

// CheckSubject returns a Permanent fault unless subject is a reply subject
// of this request. A worker that answered elsewhere could be made to publish
// anything anywhere by whoever can write a header.
func CheckSubject(subject, request string) error {
	rest, ok := strings.CutPrefix(subject, broker.FramesPrefix)
	gateway, got, both := strings.Cut(rest, ".")
	if !ok || !both || got != request || corpus.CheckToken("gateway", gateway) != nil || corpus.CheckToken("request", request) != nil {
		return fault.Permanentf("invalid_reply_subject", "the reply subject does not belong to this request")
	}
	return nil
}

// header returns the frame's header value.
func (f Frame) header() string {
	return string(f.Stage) + "/" + strconv.Itoa(f.Attempt) + "/" + strconv.Itoa(f.Seq) + "/" + string(f.Type)
}

// maxNumber bounds attempts and sequences that are read.
const maxNumber = 1 << 30

// errFrame is what every malformed frame is.
var errFrame = errors.New("not a frame")

// ParseFrame reads the frame in a message of a reply subject.
func ParseFrame(m *nats.Msg) (Frame, error) { return readFrame(m.Subject, m.Header, m.Data) }

func readFrame(subject string, header nats.Header, data []byte) (Frame, error) {
	f, err := parseHeader(header.Get(HeaderFrame))
	if err != nil {
		return Frame{}, err
	}
	f.Request = subject[strings.LastIndexByte(subject, '.')+1:]
	f.Data, f.Writer, f.Sources = data, header.Get(HeaderWriter), header.Get(HeaderSources)
	if work := header.Get(HeaderWork); work != "" {
		if f.Work, err = strconv.ParseInt(work, 10, 64); err != nil || f.Work < 0 {
			return Frame{}, fmt.Errorf("%w: what it is written for", errFrame)
		}
	}
	return f, nil
}

func parseHeader(s string) (Frame, error) {
	parts := strings.SplitN(s, "/", 5)
	if len(parts) != 4 {
		return Frame{}, fmt.Errorf("%w: the header has %d parts, not 4", errFrame, len(parts))
	}
	f := Frame{Stage: Stage(parts[0]), Type: Type(parts[3])}
	switch f.Stage {
	case Retrieve, Generate:
	default:
		return Frame{}, fmt.Errorf("%w: unknown stage", errFrame)
	}
	switch f.Type {
	case Sources, Delta, Citation, Usage, KeepAlive, End, Error:
	default:
		return Frame{}, fmt.Errorf("%w: unknown type", errFrame)
	}
	var err error
	if f.Attempt, err = parseNumber(parts[1], 1); err != nil {
		return Frame{}, fmt.Errorf("%w: attempt: %w", errFrame, err)
	}
	lowest := 1
	if f.Type == KeepAlive {
		lowest = 0
	}
	if f.Seq, err = parseNumber(parts[2], lowest); err != nil {
		return Frame{}, fmt.Errorf("%w: sequence: %w", errFrame, err)
	}
	return f, nil
}

// parseNumber reads a decimal number as [strconv.Itoa] writes it.
func parseNumber(s string, lowest int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < lowest || n > maxNumber || strconv.Itoa(n) != s {
		return 0, errors.New("not a number in range")
	}
	return n, nil
}
