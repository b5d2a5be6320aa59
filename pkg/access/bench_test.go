package access

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

// BenchmarkRequest is what keys and signatures cost one question: the key
// that is remembered, its limits, the gateway's signature, and the two
// verifications of retriever and generator.
func BenchmarkRequest(b *testing.B) {
	r := newRecord()
	k, d, bearer := issued(b, func(k *Key) { k.Limits.RequestsPerMinute = 1 << 30 })
	r.set(k, d)
	ring, limiter, s := NewKeyring(r, nil, nil), NewLimiter(nil), signerOf(b, oneSecret)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		id, err := ring.Authenticate(ctx, bearer)
		if err != nil {
			b.Fatal(err)
		}
		if err := id.May(Chat); err != nil {
			b.Fatal(err)
		}
		if err := limiter.Take(id).Err(); err != nil {
			b.Fatal(err)
		}
		e := s.Sign(question())
		for range 2 {
			if err := s.VerifyAsked(e, askedOf(b, e)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkRetrieved is what it costs a question beside that to know what was
// found for it, 12 KB in eight passages: the retriever's signature and the
// generator's verification.
func BenchmarkRetrieved(b *testing.B) {
	s := signerOf(b, oneSecret)
	var list []corpus.Passage
	for range 8 {
		list = append(list, corpus.Passage{ID: "p", DocumentID: "d", Version: "v", Title: "Handbook", Text: strings.Repeat("A word. ", 165)})
	}
	passages, err := event.NewPassages(list)
	if err != nil {
		b.Fatal(err)
	}
	e := s.Sign(question())
	r := event.ChatRetrieved{Asked: askedOf(b, e), SearchQuery: "Kaution", Passages: passages, Relevant: true}
	b.SetBytes(int64(2 * len(passages.JSON())))
	b.ReportAllocs()
	for b.Loop() {
		e.Data = r
		signed := s.Sign(e)
		if err := s.verify(retrievedOf(b, signed).Signature, func() []byte { return encodeRetrieved(r) }); err != nil {
			b.Fatal(err)
		}
	}
}
