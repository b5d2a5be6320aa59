package access

import "testing"

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
