package deadletter

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

// Stages returns the consumers whose work can be given up, in order.
func Stages() []string {
	return []string{broker.ConsumerRetriever, broker.ConsumerGenerator, broker.ConsumerIngestorExtract, broker.ConsumerIngestorEmbed}
}

// stageOf returns the stage that works on a kind, "" for none. A test
// compares it with the topology.
func stageOf(k event.Kind) string {
	switch k {
	case event.KindChatAsked:
		return broker.ConsumerRetriever
	case event.KindChatRetrieved:
		return broker.ConsumerGenerator
	case event.KindDocumentUploaded, event.KindDocumentDeleted, event.KindDocumentChanged:
		return broker.ConsumerIngestorExtract
	case event.KindChunksReady:
		return broker.ConsumerIngestorEmbed
	case event.KindDocumentIndexed, event.KindDocumentFailed, event.KindDocumentRemoved, event.KindChatAnswered:
	}
	return ""
}

// kindsOf returns the kinds of work of a stage; "" is every stage.
func kindsOf(stage string) ([]event.Kind, error) {
	if stage == "" {
		return working(), nil
	}
	var out []event.Kind
	for _, k := range working() {
		if stageOf(k) == stage {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, fault.Invalidf("invalid_stage", "stage is one of %s", strings.Join(Stages(), ", ")).WithField("stage")
	}
	return out, nil
}

// working returns the kinds that are work. Facts are told, not done.
func working() []event.Kind {
	return []event.Kind{
		event.KindChatAsked, event.KindChatRetrieved, event.KindDocumentUploaded, event.KindDocumentDeleted,
		event.KindDocumentChanged, event.KindChunksReady,
	}
}

func join(kinds []event.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// address returns kind and tenant of a letter's subject. What is no work of
// ours has none, and so no tenant to see it.
func address(subject string) (kind event.Kind, tenant string, ok bool) {
	original, ok := strings.CutPrefix(subject, broker.DeadPrefix)
	if !ok {
		return "", "", false
	}
	for _, k := range working() {
		prefix := strings.TrimSuffix(event.SubjectFilter(k), "*")
		if tenant, ok := strings.CutPrefix(original, prefix); ok && tenant != "" && !strings.Contains(tenant, ".") {
			return k, tenant, true
		}
	}
	return "", "", false
}

// read returns the letter that a message of the stream is. What its headers
// do not tell, or tell wrongly, stays empty. When it died is when the broker
// took the letter: one clock, and the order of the stream.
func read(m broker.Leaf) (Letter, bool) {
	kind, tenant, ok := address(m.Subject)
	if !ok {
		return Letter{}, false
	}
	h := m.Header
	l := Letter{
		ID: letterID(m), Tenant: tenant, Kind: kind, Stage: h.Get(worker.HeaderDeadConsumer), Stream: h.Get(worker.HeaderDeadStream),
		Subject: strings.TrimPrefix(m.Subject, broker.DeadPrefix), EventID: unescape(h.Get(event.HeaderID)), About: unescape(h.Get(event.HeaderSubject)),
		Attempts: number(h.Get(worker.HeaderDeadAttempts)), Redrives: number(h.Get(worker.HeaderRedrives)),
		Class: fault.ParseClass(h.Get(worker.HeaderDeadClass)), Code: h.Get(worker.HeaderDeadCode),
		Message: h.Get(worker.HeaderDeadMessage), Reason: h.Get(worker.HeaderDeadReason),
		FirstAt: moment(h.Get(worker.HeaderFirstStored)), DiedAt: m.StoredAt.UTC(), Deadline: moment(h.Get(event.HeaderDeadline)),
		TraceID: traceID(h.Get(event.HeaderTraceparent)), Worker: h.Get(worker.HeaderDeadWorker), Bytes: m.Bytes, sequence: m.Sequence,
	}
	if l.Stage == "" {
		l.Stage = stageOf(kind)
	}
	if l.FirstAt.IsZero() {
		l.FirstAt = moment(h.Get(worker.HeaderDeadStored))
	}
	if size := h.Get(worker.HeaderDeadTruncated); size != "" {
		l.Truncated, l.Bytes = true, number(size)
	}
	return l, true
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func moment(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// traceID returns the trace of a traceparent: version, trace, parent, flags
// (www.w3.org/TR/trace-context).
func traceID(traceparent string) string {
	const length = 32
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != length {
		return ""
	}
	return parts[1]
}
