// Package event is the wire contract: every message that crosses the broker,
// its CloudEvents type, its subject, its identity rule and its JSON. It knows
// no broker client: messages are a subject, headers and bytes.
//
// The flow, in words. A question: asked → retrieved → answered. A document:
// uploaded → embed (one for each batch of chunks) → indexed or failed;
// deleted → removed; changed (acl, metadata). Documents travel by reference,
// never as bytes.
package event

import (
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Kind names a type of event inside Ragbus: domain and verb.
type Kind string

// The kinds. First what clients and pipelines may send, then the work
// between our services, then the facts for observers.
const (
	KindDocumentUploaded Kind = "document.uploaded"
	KindDocumentDeleted  Kind = "document.deleted"
	KindDocumentChanged  Kind = "document.changed"

	KindChunksReady   Kind = "document.embed"
	KindChatAsked     Kind = "chat.asked"
	KindChatRetrieved Kind = "chat.retrieved"

	KindDocumentIndexed Kind = "document.indexed"
	KindDocumentFailed  Kind = "document.failed"
	KindDocumentRemoved Kind = "document.removed"
	KindChatAnswered    Kind = "chat.answered"
)

// Kinds returns every kind of the contract.
func Kinds() []Kind {
	return []Kind{
		KindChatAsked, KindChatRetrieved, KindChunksReady, KindDocumentUploaded, KindDocumentDeleted, KindDocumentChanged,
		KindDocumentIndexed, KindDocumentFailed, KindDocumentRemoved, KindChatAnswered,
	}
}

// CloudEventType returns the CloudEvents type of a kind. The request to
// delete and the fact that it is done share one, on different subjects.
func (k Kind) CloudEventType() string {
	if k == KindDocumentChanged {
		return "ragbus.document.acl_changed.v1"
	}
	if k == KindDocumentRemoved {
		return "ragbus.document.deleted.v1"
	}
	return "ragbus." + string(k) + ".v1"
}

// subjectPrefix is the subject without the tenant, which is always the last token.
func (k Kind) subjectPrefix() string {
	domain, verb, _ := strings.Cut(string(k), ".")
	return "rag." + domain + ".v1." + verb + "."
}

// SubjectFilter returns the subject of a kind for every tenant, as a consumer filters it.
func SubjectFilter(k Kind) string { return k.subjectPrefix() + "*" }

// SubjectOf returns the subject of a kind for one tenant.
func SubjectOf(k Kind, tenant string) string { return k.subjectPrefix() + tenant }

// Payload is the data of one type of event. All payloads are defined here.
type Payload interface {
	// Kind returns the kind of event that the payload belongs to.
	Kind() Kind
	// identity returns what makes two events of this type the same one.
	// It becomes the CloudEvents id and the broker's message id.
	identity() string
	// about returns the CloudEvents subject: the document or chat concerned.
	about() string
	// check returns an Invalid fault when a field is missing or malformed.
	check() error
}

// Event is one message: a payload and its envelope.
type Event struct {
	// ID is unique for each thing that happened, and the same when the same thing is published twice.
	ID     string
	Tenant string
	// Time is when it happened.
	Time time.Time
	// Deadline is after which the work is worthless; zero for none.
	Deadline time.Time
	// ReplyTo is where frames of the answer go; "" for none. See package reply.
	ReplyTo string
	// Traceparent and Tracestate carry the W3C trace context.
	Traceparent string
	Tracestate  string
	Data        Payload
}

// New returns the event of a payload: its ID is derived from the payload, so
// that a repeated handler publishes the same event and not another one.
func New(tenant string, now time.Time, data Payload) Event {
	return Event{ID: string(data.Kind()) + "/" + tenant + "/" + data.identity(), Tenant: tenant, Time: now.UTC(), Data: data}
}

// Resent returns a copy under another ID, for a sweeper that must not be
// taken for a duplicate of the first publication. salt distinguishes rounds.
func (e Event) Resent(salt string) Event {
	e.ID += resent + salt
	return e
}

// Salt returns what an event was resent with, "" when it was not.
func (e Event) Salt() string {
	_, salt, _ := strings.Cut(e.ID, resent)
	return salt
}

// resent is in no identity: ids are tokens, which have no slash.
const resent = "/resent-"

// Kind returns the payload's kind.
func (e Event) Kind() Kind { return e.Data.Kind() }

// Subject returns the subject that the event is published on.
func (e Event) Subject() string { return SubjectOf(e.Kind(), e.Tenant) }

// Validate returns an Invalid fault unless tenant, id and payload are usable.
func (e Event) Validate() error {
	if err := corpus.CheckToken("tenant", e.Tenant); err != nil {
		return err
	}
	if e.ID == "" || len(e.ID) > 512 {
		return fault.Invalidf("invalid_event", "an event id has 1 to 512 bytes").WithField("id")
	}
	if e.Data == nil {
		return fault.Invalidf("invalid_event", "the event has no data").WithField("data")
	}
	return e.Data.check()
}
