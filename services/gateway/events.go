package gateway

import (
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// maxBatch bounds the events of one batch.
const maxBatch = 100

// acceptedEvents is the answer of POST /v1/events.
type acceptedEvents struct {
	Accepted int `json:"accepted"`
	// IDs are the events' own, in the order they came.
	IDs []string `json:"ids"`
}

// incoming is an event with what its sender called it.
type incoming struct {
	event  event.Event
	sentID string
}

// postEvents takes CloudEvents in structured, batched or binary mode. All of
// them are checked before the first is published; publishing the same ones
// again, after an error on the way, does nothing twice.
func (r *request) postEvents() error {
	body, err := r.wholeBody(maxJSONBytes, 0)
	if err != nil {
		return err
	}
	events, err := r.decodeEvents(body)
	if err != nil {
		return err
	}
	out := acceptedEvents{Accepted: len(events), IDs: make([]string, len(events))}
	for i, e := range events {
		if err := r.s.deps.Publisher.Publish(r.ctx, e.event); err != nil {
			return err
		}
		out.IDs[i] = e.sentID
		r.auditEvent(e.event)
	}
	return r.json(http.StatusAccepted, out)
}

func (r *request) decodeEvents(body []byte) ([]incoming, error) {
	kind, _, err := mime.ParseMediaType(r.c.Get(fiber.HeaderContentType))
	if err != nil {
		kind = ""
	}
	switch {
	case kind == "application/cloudevents-batch+json":
		return r.decodeBatch(body)
	case kind == "application/cloudevents+json":
		e, err := r.decodeStructured(body)
		return []incoming{e}, err
	case strings.HasPrefix(kind, "application/cloudevents"):
		return nil, fault.Invalidf("unsupported_media_type", "events are read as application/cloudevents+json or application/cloudevents-batch+json")
	case r.c.Get(event.HeaderType) != "":
		e, err := r.decodeBinary(body)
		return []incoming{e}, err
	}
	return nil, fault.Invalidf("event_type_missing",
		"nothing says what event this is; send application/cloudevents+json, or the headers ce-id, ce-type, ce-source and ce-specversion")
}

func (r *request) decodeBatch(body []byte) ([]incoming, error) {
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		return nil, fault.Invalidf("invalid_event", "a batch is a JSON list of events").WithCause(err)
	}
	if len(raw) == 0 || len(raw) > maxBatch {
		return nil, fault.Invalidf("invalid_event", "a batch has 1 to %d events; this one has %d", maxBatch, len(raw))
	}
	events := make([]incoming, 0, len(raw))
	bad := &fieldsError{cause: fault.Invalidf("invalid_event", "some events of the batch are not usable; none was accepted")}
	for i, data := range raw {
		e, err := r.decodeStructured(data)
		if err != nil {
			_, message := fault.Public(err)
			bad.list = append(bad.list, FieldError{Field: strconv.Itoa(i), Message: message})
			continue
		}
		events = append(events, e)
	}
	if len(bad.list) > 0 {
		return nil, bad
	}
	return events, nil
}

// decodeStructured reads one event in the CloudEvents JSON format. Its
// attributes are free to be extended, so unknown ones are no mistake there.
func (r *request) decodeStructured(data []byte) (incoming, error) {
	if err := checkJSON(data); err != nil {
		return incoming{}, err
	}
	var sender struct {
		Source string `json:"source"`
		Type   string `json:"type"`
	}
	if err := json.Unmarshal(data, &sender); err != nil {
		return incoming{}, fault.Invalidf("invalid_event", "the body is not a CloudEvents JSON object").WithCause(err)
	}
	if sender.Type == "" {
		return incoming{}, fault.Invalidf("event_type_missing", "the event has no type").WithField("type")
	}
	e, err := event.DecodeCloudEvent(r.who.Tenant, data)
	if err != nil {
		return incoming{}, err
	}
	return r.fromOutside(e, sender.Source)
}

// decodeBinary reads an event whose attributes are headers.
func (r *request) decodeBinary(body []byte) (incoming, error) {
	kind, err := kindOf(r.c.Get(event.HeaderType))
	if err != nil {
		return incoming{}, err
	}
	m := event.Message{Subject: event.Event{Tenant: r.who.Tenant, Data: kind}.Subject(), Header: map[string][]string{}, Data: body}
	for _, name := range []string{
		event.HeaderID, event.HeaderType, event.HeaderSource, event.HeaderSpecVersion, event.HeaderTime, event.HeaderSubject,
		event.HeaderTraceparent, event.HeaderTracestate, "ce-dataref", "ce-tenant",
	} {
		if v := r.c.Get(name); v != "" {
			m.Header[name] = []string{v}
		}
	}
	if len(body) > 0 {
		if err := checkJSON(body); err != nil {
			return incoming{}, err
		}
	}
	e, err := event.Decode(m)
	if err != nil {
		return incoming{}, err
	}
	return r.fromOutside(e, r.c.Get(event.HeaderSource))
}

// kindOf returns an empty payload of the kind that a pipeline may send under a type.
func kindOf(cloudEventType string) (event.Payload, error) {
	for _, p := range []event.Payload{event.DocumentUploaded{}, event.DocumentDeleted{}, event.DocumentChanged{}} {
		if p.Kind().CloudEventType() == cloudEventType {
			return p, nil
		}
	}
	return nil, fault.Invalidf("invalid_event", "the type %q is not one that can be sent", shown(cloudEventType)).WithField("type")
}

// fromOutside makes an event of a stranger safe for the bus: it may not
// speak of our generations, and its id lives in a space of its own, lest it
// pass for one of ours. By CloudEvents, source and id make an event.
func (r *request) fromOutside(e event.Event, source string) (incoming, error) {
	internal := ""
	switch d := e.Data.(type) {
	case event.DocumentUploaded:
		if d.Generation != 0 {
			internal = "generation"
		}
	case event.DocumentDeleted:
		if d.Generation != 0 {
			internal = "generation"
		}
	case event.DocumentChanged:
		if d.Revision != 0 {
			internal = "revision"
		}
	}
	if internal != "" {
		return incoming{}, fault.Invalidf("invalid_event", "the field %q is not for senders", internal).WithField(internal)
	}
	if source == "" {
		return incoming{}, fault.Invalidf("invalid_event", "the event has no source").WithField("source")
	}
	sent := e.ID
	e.ID = "external/" + r.who.Tenant + "/" + corpus.DeriveID("event", source, string(e.Kind()), sent)
	if e.Time.IsZero() {
		e.Time = r.s.now()
	}
	return incoming{event: e, sentID: sent}, nil
}

// timedOut reports whether a client was too slow.
func timedOut(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
