package storm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
)

// bus is a client of the broker that repeats what others said, says what
// nobody can understand, and takes the broker's room away.
type bus struct {
	conn  *nats.Conn
	js    jetstream.JetStream
	found *findings

	mu   sync.Mutex
	kept []*nats.Msg
	next int
	// nonsense are the bodies of injected messages that nobody can decode.
	nonsense map[string]bool
	serial   int
	seed     uint64
}

// remembered is how many messages may be repeated: old ones too, so that
// what comes late comes very late.
const remembered = 400

func openBus(url string, seed uint64, found *findings) (*bus, error) {
	conn, err := nats.Connect(url, nats.Name("storm"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, fmt.Errorf("connect to the broker: %w", err)
	}
	b := &bus{conn: conn, found: found, nonsense: map[string]bool{}, seed: seed}
	if b.js, err = jetstream.New(conn); err == nil {
		for _, kind := range work() {
			if _, err = conn.Subscribe(event.SubjectFilter(kind), b.hear); err != nil {
				break
			}
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen to the broker: %w", err)
	}
	return b, nil
}

// work are the events that workers take.
func work() []event.Kind {
	return []event.Kind{
		event.KindDocumentUploaded, event.KindDocumentDeleted, event.KindDocumentChanged, event.KindChunksReady, event.KindChatAsked, event.KindChatRetrieved,
	}
}

func (b *bus) close() { b.conn.Close() }

// hear keeps a message for later; its own are not repeated again.
func (b *bus) hear(m *nats.Msg) {
	if m.Header.Get(repeatedHeader) != "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) < remembered {
		b.kept = append(b.kept, m)
		return
	}
	b.kept[b.next] = m
	b.next = (b.next + 1) % remembered
}

const repeatedHeader = "Rag-Storm-Repeated"

// faults are those that any client of the broker can cause.
func (b *bus) faults() []fault {
	return []fault{
		{kind: "repeat and reorder events", target: "repeat", weight: 6, hits: []string{hitDuplicates}, run: b.repeat},
		{kind: "undecodable event", target: "nonsense", weight: 2, run: b.inject},
		{kind: "quota of a stream full", target: "broker", weight: 4, hits: []string{hitBroker}, run: b.fill},
	}
}

func (b *bus) injected() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.nonsense)
}

// repeat publishes old messages again, in another order, under new ids.
func (b *bus) repeat(ctx context.Context, rnd *rand.Rand) error {
	n, pick := 5+rnd.IntN(20), rnd.Perm(remembered)
	for _, i := range pick[:n] {
		b.mu.Lock()
		var m *nats.Msg
		if len(b.kept) > 0 {
			m = b.kept[i%len(b.kept)]
		}
		b.serial++
		id := fmt.Sprintf("storm.%d.%d", b.seed, b.serial)
		b.mu.Unlock()
		if m == nil {
			return nil
		}
		again := nats.NewMsg(m.Subject)
		again.Data = m.Data
		maps.Copy(again.Header, m.Header)
		again.Header.Set(event.HeaderMsgID, id)
		again.Header.Set(repeatedHeader, "1")
		if b.publish(ctx, again) {
			b.found.count("events repeated")
		}
	}
	return nil
}

func (b *bus) publish(ctx context.Context, m *nats.Msg) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := b.js.PublishMsg(ctx, m)
	return err == nil
}

// inject publishes what no worker can decode: it must end as a dead letter.
func (b *bus) inject(ctx context.Context, rnd *rand.Rand) error {
	kinds := work()
	kind := kinds[rnd.IntN(len(kinds))]
	b.mu.Lock()
	b.serial++
	body := fmt.Sprintf("nonsense %d of the storm %d", b.serial, b.seed)
	id := fmt.Sprintf("nonsense.%d.%d", b.seed, b.serial)
	b.mu.Unlock()
	m := nats.NewMsg(event.SubjectFilter(kind))
	m.Subject = m.Subject[:len(m.Subject)-1] + "default" // the filter ends with the tenant's wildcard
	m.Data = []byte(body)
	m.Header.Set(repeatedHeader, "1")
	m.Header.Set(event.HeaderMsgID, id)
	// It is there once it is acknowledged, and perhaps when it is not.
	for range attempts {
		if b.publish(ctx, m) {
			b.mu.Lock()
			b.nonsense[body] = true
			b.mu.Unlock()
			b.found.count("undecodable events injected")
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			break
		}
	}
	b.mu.Lock()
	b.nonsense[body] = false
	b.mu.Unlock()
	return nil
}

// fill takes a stream's room away for some seconds.
func (b *bus) fill(ctx context.Context, rnd *rand.Rand) error {
	name := []string{broker.StreamChat, broker.StreamIngest, "OBJ_ragbus-documents"}[rnd.IntN(3)]
	long := time.Duration(500+rnd.IntN(2500)) * time.Millisecond
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := b.js.Stream(asking, name)
	if err != nil {
		return nil // this shape has no such stream, or the broker is away: nothing to take
	}
	cfg := s.CachedInfo().Config
	full := cfg
	full.MaxBytes = 1
	// Without an answer it may have happened all the same.
	if _, err := b.js.UpdateStream(asking, full); err == nil {
		pause(ctx, long)
	}
	return b.restore(ctx, cfg)
}

func (b *bus) restore(ctx context.Context, cfg jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for {
		asking, done := context.WithTimeout(ctx, 5*time.Second)
		_, err := b.js.UpdateStream(asking, cfg)
		done()
		if err == nil {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return errors.Join(fmt.Errorf("give the stream %s its room back: %w", cfg.Name, err), ctx.Err())
		}
	}
}
