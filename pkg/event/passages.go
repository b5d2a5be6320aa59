package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Passages is a list of passages together with its JSON. The JSON is made
// once, by [NewPassages], and is from then on sent, read, stored and shown as
// it is: it is nearly all of an event and of an answer, and making or checking
// it again at each hop was a twentieth of what a question costs. The zero value
// is the empty list. It is not modified after it is made.
type Passages struct { //nolint:recvcheck // a value; only reading it from JSON sets it
	list []corpus.Passage
	text json.RawMessage
}

// NewPassages returns the list with its JSON. It must not be modified any more.
func NewPassages(list []corpus.Passage) (Passages, error) {
	if len(list) == 0 {
		return Passages{}, nil
	}
	const members, escaped = 512, 16 // bytes of all but the text; one in so many more for its escapes
	size := 0
	for i := range list {
		size += members + len(list[i].Text) + len(list[i].Text)/escaped
	}
	text, err := appendPassages(make([]byte, 0, size), list)
	if err != nil {
		return Passages{}, fault.As(fault.Permanent, fmt.Errorf("encode passages: %w", err))
	}
	return Passages{list: list, text: text}, nil
}

// List returns the passages, best first. Do not modify them.
func (p Passages) List() []corpus.Passage { return p.list }

// JSON returns the array of the passages. Do not modify it.
func (p Passages) JSON() json.RawMessage {
	if len(p.list) == 0 {
		return json.RawMessage("[]")
	}
	return p.text
}

// IsZero reports whether the list is empty.
func (p Passages) IsZero() bool { return len(p.list) == 0 }

// MarshalJSON implements [json.Marshaler].
func (p Passages) MarshalJSON() ([]byte, error) { return p.JSON(), nil }

// UnmarshalJSONFrom implements [jsonv2.UnmarshalerFrom]. What is kept is a
// part of the text that is decoded, which must not be modified afterwards.
func (p *Passages) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	const usual = 8 // passages in a list
	rest, start := dec.UnreadBuffer(), dec.InputOffset()
	list := make([]corpus.Passage, 0, usual)
	if err := jsonv2.UnmarshalDecode(dec, &list); err != nil {
		return err //nolint:wrapcheck // Decode says what it means
	}
	// Before the value stands what separates it from its name.
	p.list, p.text = list, bytes.TrimLeft(rest[:dec.InputOffset()-start], ": \t\r\n")
	return nil
}

// namePassages begins the member of [ChatRetrieved] that [encode] puts last.
const namePassages = `,"passages":`

// encode returns the JSON of a payload.
func encode(p Payload) ([]byte, error) {
	retrieved, ok := p.(ChatRetrieved)
	if !ok {
		return json.Marshal(p) //nolint:wrapcheck // Encode names the event
	}
	// encoding/json would check and copy text that is JSON already, at the cost of making it.
	passages := retrieved.Passages.JSON()
	retrieved.Passages = Passages{}
	head, err := json.Marshal(retrieved)
	if err != nil {
		return nil, err //nolint:wrapcheck // Encode names the event
	}
	data := make([]byte, 0, len(head)+len(namePassages)+len(passages))
	data = append(data, head[:len(head)-1]...)
	data = append(data, namePassages...)
	data = append(data, passages...)
	return append(data, '}'), nil
}

// decodeRetrieved is [decode] for what [encode] writes: it takes the passages
// off the end and leaves the rest to the general decoder. Whatever looks
// different goes there whole, so that both say the same of all data.
func decodeRetrieved(data []byte) (ChatRetrieved, error) {
	// No string holds this: quotes inside one are escaped.
	at := bytes.Index(data, []byte(namePassages+"["))
	// Another member ends before it: "{" with a comma would not be noticed.
	if at < 1 || strings.IndexByte("{ \t\r\n", data[at-1]) >= 0 {
		return decode[ChatRetrieved](data)
	}
	text := data[at+len(namePassages):]
	list, rest, ok := readPassages(text)
	if !ok || string(rest) != "}" {
		return decode[ChatRetrieved](data)
	}
	out, err := decode[ChatRetrieved](append(data[:at:at], '}'))
	if err != nil || out.Passages.text != nil { // they are there twice
		return decode[ChatRetrieved](data)
	}
	out.Passages = Passages{list: list, text: text[: len(text)-1 : len(text)-1]}
	return out, nil
}
