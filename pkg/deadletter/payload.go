package deadletter

import (
	"encoding/json"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/event"
)

const (
	// maxShownJSON bounds a payload that is shown whole.
	maxShownJSON = 64 << 10
	// maxShownText bounds what is shown of a payload that is no JSON.
	maxShownText = 4 << 10
)

// Payload is what the operator of a tenant may see of a message. Of a chat
// that is not its content: the question, the conversation and the passages
// were for its asker, who may see documents that the operator may not.
type Payload struct {
	// JSON is the payload when it is JSON.
	JSON json.RawMessage
	// Text is the beginning of a payload that is not; of one that is no text either, a dot stands for what cannot be shown.
	Text string
	// Cut says that more is there than is shown, or was.
	Cut bool
	// Withheld names the fields that are left out on purpose; "payload" is all of it.
	Withheld []string
}

// Payload returns what may be shown.
func (f Full) Payload() Payload {
	if f.Truncated {
		return Payload{Cut: true}
	}
	if f.Kind == event.KindChatAsked || f.Kind == event.KindChatRetrieved {
		return f.chat()
	}
	if json.Valid(f.data) {
		if len(f.data) > maxShownJSON {
			return Payload{Cut: true}
		}
		return Payload{JSON: f.data}
	}
	text := f.data[:min(len(f.data), maxShownText)]
	if !utf8.Valid(f.data) {
		return Payload{Text: printable(text), Cut: len(text) < len(f.data)}
	}
	for !utf8.Valid(text) {
		text = text[:len(text)-1]
	}
	return Payload{Text: string(text), Cut: len(text) < len(f.data)}
}

// printable shows bytes that are no text: what is not ASCII becomes a dot.
func printable(data []byte) string {
	out := make([]byte, len(data))
	for i, c := range data {
		if out[i] = c; c < ' ' || c >= 0x7f {
			out[i] = '.'
		}
	}
	return string(out)
}

// chat shows what a chat's operation needs: whose it is, when it was asked, how large it is.
func (f Full) chat() Payload {
	e, err := f.event()
	if err != nil {
		return Payload{Withheld: []string{"payload"}}
	}
	type shown struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
		Owner          string `json:"owner"`
		AskedAt        string `json:"asked_at"`
		Stream         bool   `json:"stream"`
		Background     bool   `json:"background"`
		QuestionBytes  int    `json:"question_bytes"`
		Passages       *int   `json:"passages,omitempty"`
		Turns          *int   `json:"turns,omitempty"`
	}
	show := func(a event.ChatAsked) shown {
		return shown{
			ID: a.ID, ConversationID: a.ConversationID, Owner: a.Owner, AskedAt: a.AskedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
			Stream: a.Stream, Background: a.Background, QuestionBytes: len(a.Question),
		}
	}
	var out shown
	withheld := []string{"question", "principals", "filter"}
	switch d := e.Data.(type) {
	case event.ChatAsked:
		out = show(d)
	case event.ChatRetrieved:
		out = show(d.Asked)
		passages, turns := len(d.Passages.List()), len(d.History)
		out.Passages, out.Turns = &passages, &turns
		withheld = append(withheld, "search_query", "passages", "history")
	}
	data, err := json.Marshal(out)
	if err != nil {
		return Payload{Withheld: []string{"payload"}}
	}
	return Payload{JSON: data, Withheld: withheld}
}

// event decodes the message as its worker did.
func (f Full) event() (event.Event, error) {
	return event.Decode(event.Message{Subject: f.Subject, Header: f.header, Data: f.data}) //nolint:wrapcheck // says what is wrong
}
