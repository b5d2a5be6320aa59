package access

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// MinSecret is how many bytes a bus secret has at least.
const MinSecret = 32

// signatureVersion names the encoding that is signed. A change of what is
// signed, or of how, gets another one.
const signatureVersion = "v1."

// Signer vouches for the messages that act on somebody's behalf: the gateway
// signs, workers verify before they do anything, so that somebody who can
// only write to the bus cannot speak for another tenant or principal, nor make
// up what an answer is written from.
//
// Signed is everything that says who asks, what for, until when and where the
// answer goes; and by the retriever all that it passes on to be answered from,
// with the question's signature. A message can thus be sent again, as delivery
// at least once needs it, but not be used for another question, reader or time.
//
// A nil Signer signs nothing, and verifies only what nobody signed: a worker
// that lacks the secret of its gateway fails at once instead of believing
// everybody. Methods are safe for concurrent use.
type Signer struct {
	secrets [][]byte
}

// NewSigner returns a Signer that signs with the first secret and verifies
// with all of them, so that secrets can be rotated: first every process learns
// the new one in second place, then it moves to the first. The error is an
// Invalid fault when there is none, or one is shorter than [MinSecret] bytes.
func NewSigner(secrets ...string) (*Signer, error) {
	if len(secrets) == 0 {
		return nil, fault.Invalidf("invalid_bus_secret", "there is no secret to sign with")
	}
	s := &Signer{}
	for _, secret := range secrets {
		if len(secret) < MinSecret {
			return nil, fault.Invalidf("invalid_bus_secret", "a secret of the bus has at least %d bytes; one has %d", MinSecret, len(secret))
		}
		s.secrets = append(s.secrets, []byte(secret))
	}
	return s, nil
}

// Sign returns the event with its payload signed, when that is a question, or
// one with what was found for it; other events come back as they are. Tenant,
// reply subject, deadline and payload must not change afterwards.
func (s *Signer) Sign(e event.Event) event.Event {
	if s == nil {
		return e
	}
	switch data := e.Data.(type) {
	case event.ChatAsked:
		data.Signature = sign(s.secrets[0], encodeAsked(e, data))
		e.Data = data
	case event.ChatRetrieved:
		data.Signature = sign(s.secrets[0], encodeRetrieved(data))
		e.Data = data
	}
	return e
}

// VerifyRetrieved returns nil when the question that the event e carries and
// what was found for it are both as they were signed. The error is that of
// [Signer.VerifyAsked].
func (s *Signer) VerifyRetrieved(e event.Event, found event.ChatRetrieved) error {
	if err := s.VerifyAsked(e, found.Asked); err != nil {
		return err
	}
	return s.verify(found.Signature, func() []byte { return encodeRetrieved(found) })
}

// VerifyAsked returns nil when the question that the event e carries, itself
// or with its passages, is as it was signed. Else the error is a Permanent
// fault "bad_signature": nothing may be done for it or told to its reply subject.
func (s *Signer) VerifyAsked(e event.Event, asked event.ChatAsked) error {
	return s.verify(asked.Signature, func() []byte { return encodeAsked(e, asked) })
}

// SignSearch returns the search as it is to be published.
func (s *Signer) SignSearch(q event.Search) event.Search {
	if s != nil {
		q.Signature = sign(s.secrets[0], encodeSearch(q))
	}
	return q
}

// VerifySearch is [Signer.VerifyAsked] for a search. A signed search without
// a deadline is refused: it could be repeated for ever.
func (s *Signer) VerifySearch(q event.Search) error {
	if s != nil && q.Deadline.IsZero() {
		return badSignature("the search has no deadline")
	}
	return s.verify(q.Signature, func() []byte { return encodeSearch(q) })
}

func (s *Signer) verify(signature string, message func() []byte) error {
	switch {
	case s == nil && signature == "":
		return nil
	case s == nil:
		return badSignature("the message is signed, but this process has no secret to verify it with (RAGBUS_BUS_SECRET)")
	case signature == "":
		return badSignature("the message is not signed")
	}
	m := message()
	for _, secret := range s.secrets {
		if hmac.Equal([]byte(sign(secret, m)), []byte(signature)) {
			return nil
		}
	}
	return badSignature("the signature is not one of this system's secrets")
}

const codeBadSignature = "bad_signature"

func badSignature(why string) error {
	return fault.Permanentf(codeBadSignature, "the message does not come from a gateway of this system").WithCause(fmt.Errorf("verify: %s", why))
}

func sign(secret, message []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(message)
	return signatureVersion + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// encodeAsked writes what is signed of a question.
func encodeAsked(e event.Event, c event.ChatAsked) []byte {
	w := newWriter(string(event.KindChatAsked), len(c.Question))
	w.text(c.ID)
	w.text(e.Tenant)
	w.text(c.Owner)
	w.text(c.Account)
	w.texts(c.Principals)
	w.texts(c.Collections)
	w.filter(c.Filter)
	w.text(c.ConversationID)
	w.text(c.Question)
	w.flags(c.Followup, c.Stream, c.Background)
	w.time(c.AskedAt)
	w.time(e.Deadline)
	w.text(e.ReplyTo)
	return w.buf
}

// encodeRetrieved writes what is signed of what was found. Question, asker,
// reader and deadline are in the question's signature. Of the passages it is
// the digest of their JSON, which is passed on as it is: so they are read once,
// however many secrets there are. How long it took is not signed.
func encodeRetrieved(r event.ChatRetrieved) []byte {
	w := newWriter(string(event.KindChatRetrieved), len(r.SearchQuery))
	w.text(r.Asked.Signature)
	w.text(r.SearchQuery)
	w.flags(r.Relevant)
	w.number(uint64(len(r.History)))
	for _, t := range r.History {
		w.text(t.Role)
		w.text(t.Content)
	}
	w.texts(r.Degraded)
	digest := sha256.Sum256(r.Passages.JSON())
	w.buf = append(w.buf, digest[:]...)
	return w.buf
}

// encodeSearch writes what is signed of a search.
func encodeSearch(q event.Search) []byte {
	w := newWriter("search", len(q.Query))
	w.text(q.Tenant)
	w.texts(q.Principals)
	w.texts(q.Collections)
	w.filter(q.Filter)
	w.text(q.Query)
	w.text(q.Mode)
	w.number(uint64(int64(q.Limit)))
	w.time(q.Deadline)
	return w.buf
}

// writer encodes fields so that no two messages have the same bytes: every
// text has its length in front, every list its count, and fields come in one
// order. Numbers are big endian, of eight bytes.
type writer struct {
	buf []byte
}

func newWriter(kind string, text int) *writer {
	const usual = 512 // of all but the text
	w := &writer{buf: make([]byte, 0, usual+text)}
	w.text("ragbus/" + signatureVersion + kind)
	return w
}

func (w *writer) number(n uint64) { w.buf = binary.BigEndian.AppendUint64(w.buf, n) }

func (w *writer) text(s string) {
	w.number(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *writer) texts(list []string) {
	w.number(uint64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

func (w *writer) flags(list ...bool) {
	for _, b := range list {
		n := byte(0)
		if b {
			n = 1
		}
		w.buf = append(w.buf, n)
	}
}

// time writes nanoseconds since 1970, and one for the zero time that no other has.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.number(math.MaxUint64)
		return
	}
	w.number(uint64(t.UnixNano()))
}

// filter writes the conditions by their keys: JSON does not keep their order.
func (w *writer) filter(f corpus.Filter) {
	f = slices.Clone(f)
	slices.SortStableFunc(f, func(a, b corpus.Condition) int { return strings.Compare(a.Key, b.Key) })
	w.number(uint64(len(f)))
	for _, c := range f {
		w.text(c.Key)
		w.number(uint64(len(c.AnyOf)))
		for _, v := range c.AnyOf {
			w.value(v)
		}
		w.bound(c.GTE)
		w.bound(c.LTE)
	}
}

func (w *writer) value(v any) {
	switch v := v.(type) {
	case string:
		w.buf = append(w.buf, 's')
		w.text(v)
	case float64:
		w.buf = append(w.buf, 'n')
		w.number(floatBits(v))
	case bool:
		w.buf = append(w.buf, 'b')
		w.flags(v)
	default:
		// A filter has no other values. One that has could not be told apart.
		w.buf = append(w.buf, '?')
		w.text(fmt.Sprintf("%T %v", v, v))
	}
}

func (w *writer) bound(b *float64) {
	w.flags(b != nil)
	if b != nil {
		w.number(floatBits(*b))
	}
}

// floatBits takes the two zeros, which compare equal, for one.
func floatBits(f float64) uint64 { return math.Float64bits(cmp.Or(f, 0)) }
