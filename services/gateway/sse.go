package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/ragbus/ragbus/pkg/conversation"
)

// replayed is where the ids begin of an answer that is told whole, from the
// record: beyond all of those that frames can tell. There may be other frames
// to read when its reader comes back, or some at all, and the number of what
// they tell must not be taken for the number of what the record told.
const replayed = 1_000_000

// sse writes server-sent events. Their ids count up from 1 and depend only
// on what is told, so that a reader can go on at any gateway: events up to
// last are counted and not written.
type sse struct {
	w    *bufio.Writer
	id   int
	last int
	// text says that the current attempt's text has been told.
	text bool
	// lost says that events up to last may have told something else than the
	// frames do now: the reader starts over in the end.
	lost bool
	// must writes the next event whatever its id: an end that the reader has
	// seen is better told twice than never.
	must bool
	// peer is the connection, to be asked whether its client has left; nil when that cannot be told.
	peer *conn
	buf  []byte
}

func (s *sse) event(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s event: %w", name, err)
	}
	return s.raw(name, data)
}

// raw writes an event whose data is JSON already.
func (s *sse) raw(name string, data []byte) error {
	s.id++
	if s.id <= s.last && !s.must {
		return nil
	}
	if bytes.ContainsAny(data, "\r\n") { // a line break would end the event
		var one bytes.Buffer
		if err := json.Compact(&one, data); err != nil {
			return fmt.Errorf("compact %s event: %w", name, err)
		}
		data = one.Bytes()
	}
	b := s.buf[:0]
	b = append(b, "id: "...)
	b = strconv.AppendInt(b, int64(s.id), 10)
	b = append(b, "\nevent: "...)
	b = append(b, name...)
	b = append(b, "\ndata: "...)
	b = append(b, data...)
	b = append(b, "\n\n"...)
	s.buf = b
	return s.write(b)
}

// over starts over and tells the whole answer, for a reader whose place in
// it is not known any more, or goes on with that.
func (s *sse) over(whole conversation.Answer, body []byte) error {
	s.id = replayed
	if err := s.event("restart", restart{Reason: "replayed"}); err != nil {
		return err
	}
	if err := s.raw("sources", sourcesEvent(whole.Sources)); err != nil {
		return err
	}
	return s.rest(whole, body)
}

// rest tells the text, the citations and the end.
func (s *sse) rest(whole conversation.Answer, body []byte) error {
	if err := s.pieces(whole); err != nil {
		return err
	}
	s.must = true
	if err := s.raw("done", body); err != nil {
		return err
	}
	return s.flush()
}

// missing returns how many events [sse.pieces] would add.
func (s *sse) missing(whole conversation.Answer) int {
	switch {
	case s.text:
		return 0
	case whole.Answer == "":
		return len(whole.Citations)
	}
	return 1 + len(whole.Citations)
}

// pieces tells the text in one piece, and the citations.
func (s *sse) pieces(whole conversation.Answer) error {
	if whole.Answer != "" {
		if err := s.event("delta", delta{Text: whole.Answer}); err != nil {
			return err
		}
	}
	for _, c := range whole.Citations {
		if err := s.event("citation", c); err != nil {
			return err
		}
	}
	return nil
}

// beat writes a comment, which readers ignore.
func (s *sse) beat() error {
	if err := s.write([]byte(": \n\n")); err != nil {
		return err
	}
	return s.flush()
}

// goodbye has the reader come back, to any gateway: the stream ends without an
// end of the answer, so an event source comes back with its Last-Event-ID.
func (s *sse) goodbye(why string) error {
	text := fmt.Sprintf("retry: %d\n: %s; come back with Last-Event-ID\n\n", reconnectAfter.Milliseconds(), why)
	if err := s.write([]byte(text)); err != nil {
		return err
	}
	return s.flush()
}

func (s *sse) write(p []byte) error {
	if _, err := s.w.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errReaderGone, err)
	}
	return nil
}

func (s *sse) flush() error {
	if err := s.w.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errReaderGone, err)
	}
	return nil
}
