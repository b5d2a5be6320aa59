package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/event"
)

// Names of the streams. They are part of the contract: renaming one abandons its messages.
const (
	StreamChat   = "RAG_CHAT"
	StreamIngest = "RAG_INGEST"
	StreamEvents = "RAG_EVENTS"
	StreamFrames = "RAG_FRAMES"
	StreamDead   = "RAG_DEAD"
	// StreamAdvisories keeps what the server says when it gives up on a delivery.
	StreamAdvisories = "RAG_ADVISORIES"
)

// BucketLeases is the KV bucket of what one replica at a time does (package lease).
const BucketLeases = "RAG_LEASE"

// LeaseTTL is how long a lease lasts that its holder does not renew: how long
// a job waits for its next holder after a kill -9.
const LeaseTTL = 15 * time.Second

// Names of the durable consumers. They are part of the contract: renaming
// one makes the server forget how far its work got.
const (
	ConsumerRetriever       = "retriever"
	ConsumerGenerator       = "generator"
	ConsumerIngestorExtract = "ingestor-extract"
	ConsumerIngestorEmbed   = "ingestor-embed"
	ConsumerForsaken        = "forsaken"
)

// Subject prefixes of what is no CloudEvent.
const (
	// FramesPrefix is followed by the gateway's and the request's token.
	FramesPrefix = "rag.answer.v1."
	// DeadPrefix is followed by the subject of the message that was given up.
	DeadPrefix = "rag.dead.v1."
	// SourcePrefix is followed by what a bucket or another source chose.
	SourcePrefix = "rag.source.v1."
)

// Subjects of the server's advisories, each followed by stream and consumer.
const (
	// AdvisoryMaxDeliveries: a message was delivered as often as its consumer allows.
	AdvisoryMaxDeliveries = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES."
	// AdvisoryTerminated: a client ended a message that it had not done.
	AdvisoryTerminated = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED."
)

// Storage is where a stream keeps its messages.
type Storage string

// The storages.
const (
	Memory Storage = "memory"
	File   Storage = "file"
)

// UnmarshalText reads "memory" or "file".
func (s *Storage) UnmarshalText(text []byte) error {
	switch v := Storage(text); v {
	case Memory, File:
		*s = v
		return nil
	}
	return errors.New("use memory or file")
}

// TopologyConfig holds what may differ between installations. Bounds on work
// queues are admission control: what does not fit is refused, never dropped.
type TopologyConfig struct {
	// Replicas is how many servers keep each message: 1 or, in a cluster, 3 or 5. Default 1.
	Replicas int `env:"RAGBUS_STREAM_REPLICAS"`
	// ChatStorage keeps questions in flight in memory (default: a lost one
	// costs its asker a retry) or in files.
	ChatStorage Storage `env:"RAGBUS_CHAT_STORAGE"`
	// ChatMaxMessages bounds questions in flight, over all tenants and both stages. Default 65,536.
	ChatMaxMessages int64 `env:"RAGBUS_CHAT_MAX_MESSAGES"`
	// ChatMaxPerTenant bounds one tenant's questions in one stage, so that no
	// tenant fills the queue for all and no flood of new questions keeps the
	// retrieved ones from being answered. Default 4,096.
	ChatMaxPerTenant int64 `env:"RAGBUS_CHAT_MAX_PER_TENANT"`
	// ChatMaxBytes bounds the chat stream. Default 256 MiB.
	ChatMaxBytes int64 `env:"RAGBUS_CHAT_MAX_BYTES"`
	// ChatMaxAge is after which a question in flight is dropped at the latest. Default 1 h.
	ChatMaxAge time.Duration `env:"RAGBUS_CHAT_MAX_AGE"`
	// IngestMaxMessages bounds ingestion work. Default 1,000,000.
	IngestMaxMessages int64 `env:"RAGBUS_INGEST_MAX_MESSAGES"`
	// IngestTenantQueue bounds one tenant's work of one kind in the queue, what
	// pipelines send included. Default 2,048.
	IngestTenantQueue int64 `env:"RAGBUS_INGEST_TENANT_QUEUE"`
	// IngestMaxBytes bounds the ingestion stream. Default 1 GiB.
	IngestMaxBytes int64 `env:"RAGBUS_INGEST_MAX_BYTES"`
	// EventsMaxAge is how long facts can be read again. Default 30 days.
	EventsMaxAge time.Duration `env:"RAGBUS_EVENTS_MAX_AGE"`
	// EventsMaxBytes bounds the facts. Default 1 GiB.
	EventsMaxBytes int64 `env:"RAGBUS_EVENTS_MAX_BYTES"`
	// FramesMaxAge is how long an answer's frames can be resumed. Default 5 min.
	FramesMaxAge time.Duration `env:"RAGBUS_FRAMES_MAX_AGE"`
	// FramesMaxBytes bounds the frames in memory; the oldest go first. Default 64 MiB.
	FramesMaxBytes int64 `env:"RAGBUS_FRAMES_MAX_BYTES"`
	// DeadMaxAge is how long dead letters are kept. Default 30 days.
	DeadMaxAge time.Duration `env:"RAGBUS_DEAD_MAX_AGE"`
	// DeadMaxBytes bounds the dead letters. Default 1 GiB.
	DeadMaxBytes int64 `env:"RAGBUS_DEAD_MAX_BYTES"`
	// AckWait is how long the broker waits for a sign of life of a worker
	// before it gives the work to another. Default 10 s.
	AckWait time.Duration `env:"RAGBUS_ACK_WAIT"`
	// MaxAckPending bounds the deliveries in work over all replicas of one
	// consumer; it must be at least replicas times slots. Default 2,048.
	MaxAckPending int `env:"RAGBUS_MAX_ACK_PENDING"`
	// DuplicateWindow is how long the same event published again counts as the same. Default 10 min.
	DuplicateWindow time.Duration `env:"RAGBUS_DUPLICATE_WINDOW"`
}

// WithDefaults returns a copy with every unset field filled in.
func (c TopologyConfig) WithDefaults() TopologyConfig {
	const day = 24 * time.Hour
	orInt := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	orDuration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.ChatStorage == "" {
		c.ChatStorage = Memory
	}
	if c.MaxAckPending == 0 {
		c.MaxAckPending = 2048
	}
	orInt(&c.ChatMaxMessages, 65536)
	orInt(&c.ChatMaxPerTenant, 4096)
	orInt(&c.ChatMaxBytes, 256<<20)
	orInt(&c.IngestMaxMessages, 1_000_000)
	orInt(&c.IngestTenantQueue, min(2048, max(1, c.IngestMaxMessages)))
	orInt(&c.IngestMaxBytes, 1<<30)
	orInt(&c.EventsMaxBytes, 1<<30)
	orInt(&c.FramesMaxBytes, 64<<20)
	orInt(&c.DeadMaxBytes, 1<<30)
	orDuration(&c.ChatMaxAge, time.Hour)
	orDuration(&c.EventsMaxAge, 30*day)
	orDuration(&c.FramesMaxAge, 5*time.Minute)
	orDuration(&c.DeadMaxAge, 30*day)
	orDuration(&c.AckWait, 10*time.Second)
	orDuration(&c.DuplicateWindow, 10*time.Minute)
	return c
}

// Validate reports every setting that cannot work. What is not set has its default.
func (c TopologyConfig) Validate() error {
	c = c.WithDefaults()
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(c.Replicas >= 1 && c.Replicas <= 5, "RAGBUS_STREAM_REPLICAS: %d is outside 1 to 5", c.Replicas)
	check(c.ChatStorage == Memory || c.ChatStorage == File, "RAGBUS_CHAT_STORAGE: %q is not memory or file", c.ChatStorage)
	check(c.MaxAckPending > 0, "RAGBUS_MAX_ACK_PENDING: %d is less than 1", c.MaxAckPending)
	check(c.AckWait >= 500*time.Millisecond, "RAGBUS_ACK_WAIT: %s is less than 500ms", c.AckWait)
	check(c.ChatMaxMessages < 1 || c.ChatMaxPerTenant <= c.ChatMaxMessages, "RAGBUS_CHAT_MAX_PER_TENANT: %d is more than all tenants have together, RAGBUS_CHAT_MAX_MESSAGES=%d",
		c.ChatMaxPerTenant, c.ChatMaxMessages)
	check(c.IngestMaxMessages < 1 || c.IngestTenantQueue <= c.IngestMaxMessages, "RAGBUS_INGEST_TENANT_QUEUE: %d is more than all tenants have together, RAGBUS_INGEST_MAX_MESSAGES=%d",
		c.IngestTenantQueue, c.IngestMaxMessages)
	for name, v := range map[string]int64{
		"RAGBUS_CHAT_MAX_MESSAGES": c.ChatMaxMessages, "RAGBUS_CHAT_MAX_PER_TENANT": c.ChatMaxPerTenant, "RAGBUS_CHAT_MAX_BYTES": c.ChatMaxBytes,
		"RAGBUS_INGEST_MAX_MESSAGES": c.IngestMaxMessages, "RAGBUS_INGEST_TENANT_QUEUE": c.IngestTenantQueue, "RAGBUS_INGEST_MAX_BYTES": c.IngestMaxBytes, "RAGBUS_EVENTS_MAX_BYTES": c.EventsMaxBytes,
		"RAGBUS_FRAMES_MAX_BYTES": c.FramesMaxBytes, "RAGBUS_DEAD_MAX_BYTES": c.DeadMaxBytes,
	} {
		check(v > 0, "%s: %d is less than 1", name, v)
	}
	for name, v := range map[string]time.Duration{
		"RAGBUS_CHAT_MAX_AGE": c.ChatMaxAge, "RAGBUS_EVENTS_MAX_AGE": c.EventsMaxAge, "RAGBUS_FRAMES_MAX_AGE": c.FramesMaxAge,
		"RAGBUS_DEAD_MAX_AGE": c.DeadMaxAge, "RAGBUS_DUPLICATE_WINDOW": c.DuplicateWindow,
	} {
		check(v >= time.Second, "%s: %s is less than 1s", name, v)
	}
	return errors.Join(problems...)
}

// Topology is the streams with their consumers, as data.
type Topology struct {
	Streams []Stream
}

// Stream is a stream and the durable consumers on it.
type Stream struct {
	jetstream.StreamConfig
	Consumers []jetstream.ConsumerConfig
}

// NewTopology returns the topology of Ragbus. It is the only place where
// streams and consumers are described.
func NewTopology(cfg TopologyConfig) Topology {
	c := cfg.WithDefaults()
	return Topology{Streams: []Stream{c.chat(), c.ingest(), c.events(), c.frames(), c.dead(), c.advisories(), c.leases()}}
}

// chat holds questions in flight. The bound is the admission control.
func (c TopologyConfig) chat() Stream {
	storage := jetstream.MemoryStorage
	if c.ChatStorage == File {
		storage = jetstream.FileStorage
	}
	return Stream{
		StreamConfig: jetstream.StreamConfig{
			Name: StreamChat, Description: "questions in flight",
			Subjects:  []string{event.SubjectFilter(event.KindChatAsked), event.SubjectFilter(event.KindChatRetrieved)},
			Retention: jetstream.WorkQueuePolicy, Storage: storage, Replicas: c.Replicas,
			Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			MaxMsgs: c.ChatMaxMessages, MaxMsgsPerSubject: c.ChatMaxPerTenant, MaxBytes: c.ChatMaxBytes, MaxAge: c.ChatMaxAge,
			Duplicates: min(c.DuplicateWindow, c.ChatMaxAge), AllowMsgTTL: true,
		},
		Consumers: []jetstream.ConsumerConfig{
			c.consumer(ConsumerRetriever, event.KindChatAsked),
			c.consumer(ConsumerGenerator, event.KindChatRetrieved),
		},
	}
}

// ingest holds ingestion work; it has no age limit, because a backlog is no reason to forget a document.
func (c TopologyConfig) ingest() Stream {
	return Stream{
		StreamConfig: jetstream.StreamConfig{
			Name: StreamIngest, Description: "ingestion work",
			Subjects: []string{
				event.SubjectFilter(event.KindDocumentUploaded), event.SubjectFilter(event.KindDocumentDeleted),
				event.SubjectFilter(event.KindDocumentChanged), event.SubjectFilter(event.KindChunksReady), SourcePrefix + ">",
			},
			Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
			Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
			MaxMsgs: c.IngestMaxMessages, MaxMsgsPerSubject: c.IngestTenantQueue, MaxBytes: c.IngestMaxBytes,
			Duplicates: c.DuplicateWindow, AllowMsgTTL: true,
		},
		Consumers: []jetstream.ConsumerConfig{
			c.consumer(ConsumerIngestorExtract, event.KindDocumentUploaded, event.KindDocumentDeleted, event.KindDocumentChanged),
			c.consumer(ConsumerIngestorEmbed, event.KindChunksReady),
		},
	}
}

// events holds facts for observers, who make their own consumers.
func (c TopologyConfig) events() Stream {
	return Stream{StreamConfig: jetstream.StreamConfig{
		Name: StreamEvents, Description: "facts for observers and webhooks",
		Subjects: []string{
			event.SubjectFilter(event.KindDocumentIndexed), event.SubjectFilter(event.KindDocumentFailed),
			event.SubjectFilter(event.KindDocumentRemoved), event.SubjectFilter(event.KindChatAnswered),
		},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		Discard: jetstream.DiscardOld, MaxBytes: c.EventsMaxBytes, MaxAge: c.EventsMaxAge,
		Duplicates: min(c.DuplicateWindow, c.EventsMaxAge),
	}}
}

// frames holds the frames of answers, so that a reader can resume on any gateway.
func (c TopologyConfig) frames() Stream {
	return Stream{StreamConfig: jetstream.StreamConfig{
		Name: StreamFrames, Description: "frames of answers, for readers who come back",
		Subjects:  []string{FramesPrefix + ">"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.MemoryStorage, Replicas: c.Replicas,
		Discard: jetstream.DiscardOld, MaxBytes: c.FramesMaxBytes, MaxAge: c.FramesMaxAge,
		// Frames are plain publications: nobody waits for an ack, so the stream sends none.
		NoAck: true, Duplicates: time.Second,
	}}
}

// dead holds dead letters with their story. It is no work queue, so that it
// can be looked at; its window keeps a letter that is written twice single.
func (c TopologyConfig) dead() Stream {
	return Stream{StreamConfig: jetstream.StreamConfig{
		Name: StreamDead, Description: "dead letters with their story",
		Subjects:  []string{DeadPrefix + ">"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		Discard: jetstream.DiscardOld, MaxBytes: c.DeadMaxBytes, MaxAge: c.DeadMaxAge,
		Duplicates: min(time.Hour, c.DeadMaxAge),
	}}
}

// advisories keeps what the server says about work that it gave up on: said
// once, on a plain subject, it would be lost while nobody listens. The work
// itself stays in its queue until the advisory is settled.
func (c TopologyConfig) advisories() Stream {
	const (
		maxMessages = 100_000
		maxBytes    = 64 << 20
		maxAge      = 7 * 24 * time.Hour
	)
	cfg := jetstream.StreamConfig{
		Name: StreamAdvisories, Description: "work that the server gave up on",
		Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		Discard: jetstream.DiscardNew, MaxMsgs: maxMessages, MaxBytes: maxBytes, MaxAge: maxAge, Duplicates: c.DuplicateWindow,
	}
	for _, of := range []string{StreamChat, StreamIngest} {
		cfg.Subjects = append(cfg.Subjects, AdvisoryMaxDeliveries+of+".*", AdvisoryTerminated+of+".*")
	}
	return Stream{StreamConfig: cfg, Consumers: []jetstream.ConsumerConfig{c.consumer(ConsumerForsaken)}}
}

// leases is the bucket of leases, as the stream that a KV bucket is (NATS
// ADR-8). Entries end by the server's clock.
func (c TopologyConfig) leases() Stream {
	return Stream{StreamConfig: jetstream.StreamConfig{
		Name: "KV_" + BucketLeases, Description: "what one replica at a time does",
		Subjects:  []string{"$KV." + BucketLeases + ".>"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		Discard: jetstream.DiscardNew, MaxMsgsPerSubject: 1, MaxBytes: 1 << 20, MaxAge: LeaseTTL, Duplicates: LeaseTTL,
		AllowRollup: true, DenyDelete: true, AllowDirect: true,
	}}
}

// consumer returns a durable that never gives up by itself: the worker
// counts attempts, for a message that the server gave up on would stay in a
// work queue for ever, seen by nobody.
func (c TopologyConfig) consumer(name string, kinds ...event.Kind) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.AckWait, MaxDeliver: -1, MaxAckPending: c.MaxAckPending,
	}
	if len(kinds) == 1 {
		cfg.FilterSubject = event.SubjectFilter(kinds[0])
		return cfg
	}
	for _, k := range kinds {
		cfg.FilterSubjects = append(cfg.FilterSubjects, event.SubjectFilter(k))
	}
	return cfg
}
