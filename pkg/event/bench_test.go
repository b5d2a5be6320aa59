package event_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

// retrieved is a question with eight passages of 1,200 characters.
func retrieved(tb testing.TB) event.Event {
	tb.Helper()
	list := make([]corpus.Passage, 8)
	for i := range list {
		list[i] = corpus.Passage{
			ID: "doc-1.0123456789abcdef." + strconv.Itoa(i), DocumentID: "doc-1", Version: strings.Repeat("0123456789abcdef", 4), Title: "Handbook",
			Section: "Rent › Deposit", CharStart: 10, CharEnd: 1210, Text: strings.Repeat("The deposit is three months' rent, paid at once.\n", 25),
			Score: 0.016393442622950821, Scores: corpus.Scores{Keyword: new(11.53467), Dense: new(0.51234)},
		}
	}
	found, err := event.NewPassages(list)
	if err != nil {
		tb.Fatal(err)
	}
	return event.New("t", at(), event.ChatRetrieved{Asked: event.ChatAsked{
		ID: "chat_1", ConversationID: "conv-1", Owner: "local", Question: "What is the deposit?", AskedAt: at(),
	}, SearchQuery: "deposit", Passages: found, Relevant: true})
}

func BenchmarkEncodeRetrieved(b *testing.B) {
	e := retrieved(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeRetrieved(b *testing.B) {
	m, err := event.Encode(retrieved(b))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(m.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewPassages(b *testing.B) {
	e := retrieved(b)
	payload, ok := e.Data.(event.ChatRetrieved)
	if !ok {
		b.Fatalf("a %T", e.Data)
	}
	list := payload.Passages.List()
	b.SetBytes(int64(len(payload.Passages.JSON())))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.NewPassages(list); err != nil {
			b.Fatal(err)
		}
	}
}
