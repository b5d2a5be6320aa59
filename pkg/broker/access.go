package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Grant is a subject that a user of the broker must be allowed, and why.
type Grant struct {
	Subject string
	For     string
}

// Access is what a user of the broker must be allowed to do. It is the only
// place where permissions are described: servers are configured from it,
// services check themselves against it at start, and docs/operations.md shows it.
type Access struct { //nolint:recvcheck // built by pointer, used by value
	// Name is the service's.
	Name      string
	Publish   []Grant
	Subscribe []Grant
	// Respond: also publish to where a message that it received wants its answer
	// (allow_responses in the server's configuration).
	Respond bool
}

// The names of those who have an [Access] of their own.
const (
	AccessGateway   = "gateway"
	AccessIngestor  = "ingestor"
	AccessRetriever = "retriever"
	AccessGenerator = "generator"
)

// Subjects of NATS itself.
const (
	userInfo = "$SYS.REQ.USER.INFO"
	jsAPI    = "$JS.API."
)

// Accesses returns the access of each service when the topology is another's
// to make (RAGBUS_TOPOLOGY_MODE=verify).
func Accesses() []Access {
	return []Access{
		AccessOf(AccessGateway), AccessOf(AccessIngestor), AccessOf(AccessRetriever), AccessOf(AccessGenerator),
	}
}

// AccessOf returns the access of a service by its name; of a name that is
// none of them, what every program needs.
func AccessOf(name string) Access {
	a := Access{
		Name: name,
		Publish: []Grant{
			{userInfo, "what it is allowed, asked at start"},
			{jsAPI + "INFO", "whether the broker is well"},
			{jsAPI + "STREAM.INFO.*", "the topology, compared at start"},
			{jsAPI + "CONSUMER.INFO.*.*", "the topology, compared at start"},
		},
		Subscribe: []Grant{{InboxPrefix + "." + name + ".>", "answers to its own requests"}},
	}
	switch name {
	case AccessGateway:
		a.gateway()
	case AccessIngestor:
		a.works(StreamIngest, ConsumerIngestorExtract, ConsumerIngestorEmbed)
		a.publishes("work it makes or finds forgotten", event.KindDocumentUploaded, event.KindDocumentDeleted, event.KindDocumentChanged, event.KindChunksReady)
		a.publishes("facts", event.KindDocumentIndexed, event.KindDocumentFailed, event.KindDocumentRemoved)
		a.freesStranded()
		a.buriesForsaken()
		a.leases()
		a.calls()
	case AccessRetriever:
		a.works(StreamChat, ConsumerRetriever)
		a.publishes("questions with their passages", event.KindChatRetrieved)
		a.publishes("facts", event.KindChatAnswered)
		a.Publish = append(a.Publish, Grant{FramesPrefix + ">", "sources, to whoever reads the answer"})
		a.Subscribe = append(a.Subscribe, Grant{event.SearchFilter, "searches"}, Grant{"rag.cancel.v1.*", "questions that nobody waits for any more"})
		a.calls()
	case AccessGenerator:
		a.works(StreamChat, ConsumerGenerator)
		a.publishes("facts", event.KindChatAnswered)
		a.Publish = append(a.Publish,
			Grant{FramesPrefix + ">", "answers, to whoever reads them"},
			Grant{"rag.writing.v1.*", "whether an answer that it is given anew is still being written"})
		a.Subscribe = append(a.Subscribe,
			Grant{"rag.cancel.v1.*", "questions that nobody waits for any more"},
			Grant{"rag.writing.v1.*", "whether it still writes an answer"})
		a.calls()
	}
	return a
}

func (a *Access) gateway() {
	a.Respond = true
	a.publishes("questions", event.KindChatAsked)
	a.publishes("documents", event.KindDocumentUploaded, event.KindDocumentDeleted, event.KindDocumentChanged)
	a.publishes("work given up that is tried again", event.KindChatRetrieved, event.KindChunksReady)
	a.letters("dead letters, shown, tried again and removed")
	const frames = "answers read again"
	a.Publish = append(a.Publish,
		Grant{event.SearchFilter, "searches"},
		Grant{"rag.cancel.v1.*", "questions that nobody waits for any more"},
		Grant{"rag.reader.v1.*", "who reads an answer, asked of other gateways and told them"},
		Grant{"rag.health.v1", "how the other services are"},
		Grant{"rag.limits.v1", "requests that it let through, for the limits of keys"},
		Grant{jsAPI + "CONSUMER.CREATE." + StreamFrames + ".>", frames},
		Grant{jsAPI + "CONSUMER.MSG.NEXT." + StreamFrames + ".*", frames},
		Grant{jsAPI + "CONSUMER.DELETE." + StreamFrames + ".*", frames},
		Grant{jsAPI + "STREAM.MSG.GET." + StreamChat, "the age of the oldest question, for metrics"},
		Grant{jsAPI + "STREAM.MSG.GET." + StreamIngest, "the age of the oldest document, for metrics"},
	)
	a.Subscribe = append(a.Subscribe,
		Grant{FramesPrefix + "*.*", "answers"},
		Grant{event.SubjectFilter(event.KindDocumentIndexed), "news, for those who wait for a document"},
		Grant{event.SubjectFilter(event.KindDocumentFailed), "news, for those who wait for a document"},
		Grant{event.SubjectFilter(event.KindDocumentRemoved), "news, for those who wait for a document"},
		Grant{"rag.reader.v1.*", "whether it has readers of an answer, and who went on elsewhere"},
		Grant{"rag.limits.v1", "requests that other gateways let through"},
		Grant{"rag.cancel.v1.*", "questions that another gateway was told to give up"},
	)
}

// works adds what a worker needs on its consumers.
func (a *Access) works(stream string, consumers ...string) {
	a.Respond = true
	a.consumes(stream, consumers...)
	a.Publish = append(a.Publish, Grant{DeadPrefix + ">", "work that was given up"})
	a.Subscribe = append(a.Subscribe, Grant{"rag.health.v1", "how it is"})
}

func (a *Access) consumes(stream string, consumers ...string) {
	for _, c := range consumers {
		a.Publish = append(a.Publish,
			Grant{jsAPI + "CONSUMER.MSG.NEXT." + stream + "." + c, "work"},
			Grant{"$JS.ACK." + stream + "." + c + ".>", "work that is done"},
		)
	}
}

// buriesForsaken adds what is needed to bury the work that the server gave up on.
func (a *Access) buriesForsaken() {
	a.consumes(StreamAdvisories, ConsumerForsaken)
	const why = "work that the server gave up on"
	for _, stream := range []string{StreamChat, StreamIngest} {
		a.Publish = append(a.Publish, Grant{jsAPI + "STREAM.MSG.GET." + stream, why}, Grant{jsAPI + "STREAM.MSG.DELETE." + stream, why})
	}
}

// freesStranded adds what is needed to free what a queue holds back.
func (a *Access) freesStranded() {
	const why = "what its queue held back, given out again or settled"
	a.publishes(why, event.KindChatAsked, event.KindChatRetrieved)
	a.Publish = append(a.Publish, Grant{SourcePrefix + ">", why},
		Grant{jsAPI + "STREAM.MSG.GET." + StreamAdvisories, why}, Grant{jsAPI + "STREAM.MSG.DELETE." + StreamAdvisories, why})
}

// calls adds what those need who share a provider's limits with others.
func (a *Access) calls() {
	const bucket, why = "RAG_PACE", "what is left of a model provider's limits"
	a.Publish = append(a.Publish,
		Grant{"$KV." + bucket + ".>", why},
		Grant{jsAPI + "STREAM.MSG.GET.KV_" + bucket, why},
		Grant{jsAPI + "DIRECT.GET.KV_" + bucket + ".>", why},
	)
}

// leases adds what those need of whom one at a time does a job.
func (a *Access) leases() {
	const why = "which replica does what only one does"
	a.Publish = append(a.Publish,
		Grant{"$KV." + BucketLeases + ".*", why},
		Grant{jsAPI + "DIRECT.GET.KV_" + BucketLeases + ".>", why},
	)
}

func (a *Access) publishes(why string, kinds ...event.Kind) {
	for _, k := range kinds {
		a.Publish = append(a.Publish, Grant{event.SubjectFilter(k), why})
	}
}

// letters adds what reads and removes dead letters.
func (a *Access) letters(why string) {
	a.Publish = append(a.Publish,
		Grant{jsAPI + "CONSUMER.CREATE." + StreamDead + ".>", why},
		Grant{jsAPI + "CONSUMER.MSG.NEXT." + StreamDead + ".*", why},
		Grant{jsAPI + "CONSUMER.DELETE." + StreamDead + ".*", why},
		Grant{jsAPI + "STREAM.MSG.GET." + StreamDead, why},
		Grant{jsAPI + "STREAM.MSG.DELETE." + StreamDead, why},
	)
}

// WithComparison adds what comparing all stores needs beside, and mending them.
func (a Access) WithComparison() Access {
	const queue = "queued work, compared with the record"
	a.Publish = append(slices.Clone(a.Publish),
		Grant{jsAPI + "STREAM.MSG.GET." + StreamIngest, queue},
		Grant{jsAPI + "STREAM.MSG.DELETE." + StreamIngest, queue},
	)
	a.letters("dead letters, compared with the record")
	return a
}

// WithTopology adds what [Ensure] needs.
func (a Access) WithTopology() Access {
	const why = "streams and consumers, made and changed"
	a.Publish = append(slices.Clone(a.Publish),
		Grant{jsAPI + "STREAM.CREATE.*", why}, Grant{jsAPI + "STREAM.UPDATE.*", why}, Grant{jsAPI + "CONSUMER.CREATE.>", why})
	return a
}

// WithObjectStore adds what the object store nats://bucket of documents'
// bytes needs; create says whether the bucket may have to be made.
func (a Access) WithObjectStore(bucket string, create bool) Access {
	const why = "documents' bytes"
	stream := "OBJ_" + bucket
	a.Publish = append(slices.Clone(a.Publish),
		Grant{"$O." + bucket + ".>", why},
		Grant{jsAPI + "STREAM.MSG.GET." + stream, why},
		Grant{jsAPI + "DIRECT.GET." + stream + ".>", why},
		Grant{jsAPI + "DIRECT.GET." + stream, why},
		Grant{jsAPI + "STREAM.PURGE." + stream, why},
	)
	if create {
		a.Publish = append(a.Publish, Grant{jsAPI + "STREAM.CREATE." + stream, why})
	}
	return a
}

// accessTimeout bounds the question what is allowed.
const accessTimeout = 5 * time.Second

// Check asks the server what the connection's user is allowed and compares.
// The error is an Invalid fault that names every subject that is missing. A
// grant that is allowed in part is taken for allowed: an operator may know
// that there is one tenant only. A server that does not tell is believed to allow everything.
func (a Access) Check(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	reply, err := nc.RequestWithContext(ctx, userInfo, nil)
	if err != nil {
		// A server tells the connection, not the caller, what it forbids.
		if last := nc.LastError(); errors.Is(last, nats.ErrPermissionViolation) {
			return fault.Invalidf("broker_forbidden", "the NATS user of %s lacks a permission: %s", a.Name, last).WithCause(err)
		}
		if errors.Is(err, nats.ErrNoResponders) {
			return nil
		}
		return unavailable(fmt.Errorf("ask the broker what is allowed: %w", err))
	}
	var answer struct {
		Data struct {
			Permissions struct {
				Publish   permission `json:"publish"`
				Subscribe permission `json:"subscribe"`
				Responses *struct{}  `json:"responses"`
			} `json:"permissions"`
		} `json:"data"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("read what the broker allows: %w", err)
	}
	allowed := answer.Data.Permissions
	missing := append(lacking("publish to", a.Publish, allowed.Publish), lacking("subscribe to", a.Subscribe, allowed.Subscribe)...)
	if a.Respond && len(allowed.Publish.Allow) > 0 && allowed.Responses == nil && !allowed.Publish.allows(InboxPrefix+".>") {
		missing = append(missing, "answer requests (allow_responses)")
	}
	if len(missing) == 0 {
		return nil
	}
	return fault.Invalidf("broker_forbidden", "the NATS user of %s may not %s", a.Name, strings.Join(missing, ", nor "))
}

func lacking(verb string, want []Grant, have permission) []string {
	var out []string
	for _, g := range want {
		if !have.allows(g.Subject) {
			out = append(out, fmt.Sprintf("%s %s (%s)", verb, g.Subject, g.For))
		}
	}
	return out
}

// permission is as a server tells it. Nothing allowed explicitly means that everything is.
type permission struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

func (p permission) allows(subject string) bool {
	for _, pattern := range p.Deny {
		if covers(tokens(pattern), tokens(subject)) {
			return false
		}
	}
	return len(p.Allow) == 0 || slices.ContainsFunc(p.Allow, func(pattern string) bool {
		return meets(tokens(pattern), tokens(subject))
	})
}

// tokens splits a subject, without the queue that may follow it.
func tokens(pattern string) []string {
	subject, _, _ := strings.Cut(pattern, " ")
	return strings.Split(subject, ".")
}

// covers reports whether every subject of b is one of a.
func covers(a, b []string) bool {
	for i, t := range a {
		switch {
		case t == ">":
			return len(b) > i
		case i >= len(b) || b[i] == ">" || t != "*" && t != b[i]:
			return false
		}
	}
	return len(a) == len(b)
}

// meets reports whether there is a subject of both.
func meets(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		switch {
		case a[i] == ">" || b[i] == ">":
			return true
		case a[i] != b[i] && a[i] != "*" && b[i] != "*":
			return false
		}
	}
	return len(a) == len(b)
}
