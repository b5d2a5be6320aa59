package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Header names on the wire. The ce- ones are the CloudEvents 1.0 NATS
// binding in binary mode; the Rag- ones are ours; MsgID and TTL the server's.
const (
	HeaderID          = "ce-id"
	HeaderType        = "ce-type"
	HeaderSource      = "ce-source"
	HeaderSpecVersion = "ce-specversion"
	HeaderTime        = "ce-time"
	HeaderSubject     = "ce-subject"
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
	HeaderContentType = "Content-Type"
	HeaderReplyTo     = "Rag-Reply-To"
	HeaderDeadline    = "Rag-Deadline"
	HeaderMsgID       = "Nats-Msg-Id"
	HeaderTTL         = "Nats-TTL"
)

// MaxBytes bounds an encoded payload; JetStream's default message limit is 1 MiB.
const MaxBytes = 1 << 20

// Message is an event on the wire.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Encode returns the event in CloudEvents binary mode. The message id is the event's.
func Encode(e Event) (Message, error) {
	if err := e.Validate(); err != nil {
		return Message{}, fmt.Errorf("encode %T: %w", e.Data, err)
	}
	data, err := encode(e.Data)
	if err != nil {
		return Message{}, fault.As(fault.Permanent, fmt.Errorf("encode %s: %w", e.Kind(), err))
	}
	if len(data) > MaxBytes {
		return Message{}, fault.Permanentf("event_too_large", "the event %s has %d bytes; the limit is %d", e.Kind(), len(data), MaxBytes)
	}
	h := map[string][]string{
		HeaderID:          {escape(e.ID)},
		HeaderType:        {e.Kind().CloudEventType()},
		HeaderSource:      {"/ragbus/" + e.Tenant},
		HeaderSpecVersion: {"1.0"},
		HeaderTime:        {e.Time.UTC().Format(time.RFC3339Nano)},
		HeaderContentType: {"application/json"},
		HeaderMsgID:       {escape(e.ID)},
	}
	set := func(key, value string) {
		if value != "" {
			h[key] = []string{value}
		}
	}
	set(HeaderSubject, e.Data.about())
	set(HeaderTraceparent, e.Traceparent)
	set(HeaderTracestate, e.Tracestate)
	set(HeaderReplyTo, e.ReplyTo)
	if !e.Deadline.IsZero() {
		set(HeaderDeadline, e.Deadline.UTC().Format(time.RFC3339Nano))
	}
	return Message{Subject: e.Subject(), Header: h, Data: data}, nil
}

// Decode reads an event in binary mode, in structured mode (a CloudEvents
// JSON object) or as bare JSON, whose type and tenant its subject tells. It
// refuses, with an Invalid fault that says why, what it does not know:
// another type or version, an unknown field of one of our own work events, a
// missing tenant, a tenant that is not the subject's. The message must not be
// modified afterwards: the event may share its bytes.
func Decode(m Message) (Event, error) {
	if len(m.Data) > MaxBytes {
		return Event{}, invalid("the event has %d bytes; the limit is %d", len(m.Data), MaxBytes)
	}
	kind, tenant, err := ParseSubject(m.Subject)
	if err != nil {
		return Event{}, err
	}
	var env envelope
	switch {
	case strings.HasPrefix(strings.ToLower(header(m.Header, HeaderContentType)), "application/cloudevents-batch"):
		return Event{}, invalid("batch mode is accepted over HTTP only; publish one event a message")
	case strings.HasPrefix(strings.ToLower(header(m.Header, HeaderContentType)), "application/cloudevents"):
		env, err = structured(m.Data)
	case header(m.Header, HeaderType) != "":
		env = binaryMode(m)
	default:
		env = envelope{Type: kind.CloudEventType(), ID: header(m.Header, HeaderMsgID), SpecVersion: "1.0", Data: m.Data}
		if env.ID == "" {
			env.ID = corpus.DeriveID("bare", m.Subject, string(m.Data))
		}
	}
	if err != nil {
		return Event{}, err
	}
	if env.Type != kind.CloudEventType() {
		return Event{}, invalid("the type %q does not belong on the subject %q", env.Type, m.Subject)
	}
	e, err := env.event(kind, tenant)
	if err != nil {
		return Event{}, err
	}
	e.ReplyTo = header(m.Header, HeaderReplyTo)
	if d := header(m.Header, HeaderDeadline); d != "" {
		if e.Deadline, err = time.Parse(time.RFC3339Nano, d); err != nil {
			return Event{}, invalid("the deadline %q is not a time", d)
		}
	}
	if t := header(m.Header, HeaderTraceparent); t != "" {
		e.Traceparent, e.Tracestate = t, header(m.Header, HeaderTracestate)
	}
	return e, e.Validate()
}

// envelope is the CloudEvents JSON format, and what binary mode is read into.
type envelope struct {
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	SpecVersion string          `json:"specversion"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject"`
	Time        string          `json:"time"`
	ContentType string          `json:"datacontenttype"`
	DataRef     string          `json:"dataref"`
	Tenant      string          `json:"tenant"`
	Traceparent string          `json:"traceparent"`
	Tracestate  string          `json:"tracestate"`
	Data        json.RawMessage `json:"data"`
	// DataBase64 holds the data of producers that treat JSON as bytes.
	DataBase64 []byte `json:"data_base64"`
}

// DecodeCloudEvent reads one CloudEvents JSON object (structured mode) as
// HTTP clients send it, for the given tenant. Only what pipelines may send is
// accepted: uploaded, deleted, changed. Faults as [Decode].
func DecodeCloudEvent(tenant string, data []byte) (Event, error) {
	env, err := structured(data)
	if err != nil {
		return Event{}, err
	}
	for _, kind := range []Kind{KindDocumentUploaded, KindDocumentDeleted, KindDocumentChanged} {
		if env.Type == kind.CloudEventType() {
			e, err := env.event(kind, tenant)
			if err != nil {
				return Event{}, err
			}
			return e, e.Validate()
		}
	}
	return Event{}, invalid("the type %q is not one that can be sent; see docs/asyncapi.yaml", env.Type)
}

func structured(data []byte) (envelope, error) {
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		return env, invalid("the body is not a CloudEvents JSON object")
	}
	if len(env.Data) == 0 {
		env.Data = env.DataBase64
	}
	if !headerSafe(env.Traceparent) || !headerSafe(env.Tracestate) {
		env.Traceparent, env.Tracestate = "", ""
	}
	return env, nil
}

// headerSafe reports whether an attribute of a JSON body may become a header:
// what holds a line break would become two.
func headerSafe(s string) bool {
	const longest = 512 // of a tracestate, www.w3.org/TR/trace-context
	if len(s) > longest {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func binaryMode(m Message) envelope {
	get := func(key string) string { return unescape(header(m.Header, key)) }
	return envelope{
		ID: get(HeaderID), Source: get(HeaderSource), SpecVersion: get(HeaderSpecVersion), Type: get(HeaderType),
		Subject: get(HeaderSubject), Time: get(HeaderTime), DataRef: get("ce-dataref"), Tenant: get("ce-tenant"), Data: m.Data,
	}
}

func (v envelope) event(kind Kind, tenant string) (Event, error) {
	if v.SpecVersion != "1.0" {
		return Event{}, invalid("specversion is %q; this server speaks CloudEvents 1.0", v.SpecVersion)
	}
	if v.Tenant != "" && v.Tenant != tenant {
		return Event{}, invalid("the event's tenant is not the one it was sent for")
	}
	data, err := v.payload(kind)
	if err != nil {
		return Event{}, err
	}
	e := Event{ID: v.ID, Tenant: tenant, Traceparent: v.Traceparent, Tracestate: v.Tracestate, Data: data}
	if e.ID == "" {
		return Event{}, invalid("the event has no id")
	}
	if v.Time != "" {
		if e.Time, err = time.Parse(time.RFC3339Nano, v.Time); err != nil {
			return Event{}, invalid("the time %q is not RFC 3339", v.Time)
		}
	}
	return e, nil
}

func (v envelope) payload(kind Kind) (Payload, error) {
	switch kind {
	case KindDocumentUploaded:
		d, err := decode[DocumentUploaded](v.Data)
		if err == nil && d.DataRef == "" {
			d.DataRef = v.DataRef
		}
		// A subject that is no token, such as a bucket's key, names a source and not a document.
		if err == nil && d.ID == "" && d.Generation == 0 && corpus.CheckToken("id", v.Subject) == nil {
			d.ID = v.Subject
		}
		d.Filename = corpus.CleanFilename(d.Filename)
		return d, err
	case KindDocumentDeleted:
		d, err := decode[DocumentDeleted](v.Data)
		if err == nil && d.ID == "" {
			d.ID = v.Subject
		}
		return d, err
	case KindDocumentChanged:
		return decode[DocumentChanged](v.Data)
	case KindChunksReady:
		return decode[ChunksReady](v.Data)
	case KindChatAsked:
		return decode[ChatAsked](v.Data)
	case KindChatRetrieved:
		return decodeRetrieved(v.Data)
	case KindDocumentIndexed:
		return decode[DocumentIndexed](v.Data)
	case KindDocumentFailed:
		return decode[DocumentFailed](v.Data)
	case KindDocumentRemoved:
		return decode[DocumentRemoved](v.Data)
	case KindChatAnswered:
		return decode[ChatAnswered](v.Data)
	}
	return nil, invalid("the kind %q is not known", kind)
}

// strict refuses unknown names, names in another case, repeated ones and invalid UTF-8.
var strict = jsonv2.RejectUnknownMembers(true) //nolint:gochecknoglobals // an option, never changed

func decode[T Payload](data []byte) (T, error) {
	var out T
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	if err := jsonv2.Unmarshal(data, &out, strict); err != nil {
		if own, ok := errors.AsType[*fault.Error](err); ok && fault.Is(own, fault.Invalid) {
			return out, own
		}
		return out, invalid("the data of %s does not fit: %s", out.Kind().CloudEventType(), reason(err))
	}
	return out, nil
}

// reason returns a decoder's complaint without quoting the content.
func reason(err error) string {
	const longest = 80 // of a field's name that is shown
	semantic, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok || len(semantic.JSONPointer) > longest {
		return "it is not one JSON object"
	}
	if errors.Is(err, jsonv2.ErrUnknownName) {
		return fmt.Sprintf("unknown field %q", semantic.JSONPointer.LastToken())
	}
	field := strings.ReplaceAll(strings.TrimPrefix(string(semantic.JSONPointer), "/"), "/", ".")
	return fmt.Sprintf("field %q is a %s", field, kindName(semantic.JSONKind))
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindBeginObject:
		return "object"
	case jsontext.KindBeginArray:
		return "array"
	default:
		return k.String()
	}
}

// ParseSubject returns the kind and the tenant of a subject that events are
// published on; any other is an Invalid fault.
func ParseSubject(subject string) (Kind, string, error) {
	i := strings.LastIndexByte(subject, '.')
	for _, k := range Kinds() {
		if i >= 0 && k.subjectPrefix() == subject[:i+1] {
			return k, subject[i+1:], nil
		}
	}
	return "", "", invalid("nothing is known of the subject %q", subject)
}

func header(h map[string][]string, key string) string {
	if v := h[key]; len(v) > 0 {
		return v[0]
	}
	for k, v := range h {
		if len(v) > 0 && strings.EqualFold(k, key) {
			return v[0]
		}
	}
	return ""
}

// escape percent-encodes what the CloudEvents NATS binding forbids in a header.
func escape(s string) string {
	forbidden := func(c byte) bool { return c <= ' ' || c == '"' || c == '%' || c >= 0x7f }
	first := 0
	for first < len(s) && !forbidden(s[first]) {
		first++
	}
	if first == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if forbidden(c) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unescape(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}

func invalid(format string, args ...any) error {
	return fault.Invalidf("invalid_event", format, args...)
}
