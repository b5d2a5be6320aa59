package deadletter

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
)

const (
	// scrapeTimeout bounds what a scrape waits for the broker.
	scrapeTimeout = 2 * time.Second
	// countEvery bounds how often the letters are counted anew.
	countEvery = 10 * time.Second
	// maxCounted bounds how many letters are told apart; the sum is always right.
	maxCounted = 20_000
)

// Collector exports how many dead letters there are, over all tenants, as
// ragbus_dead_letters by stage and class. Those that no stage can have
// written, and those beyond the first 20,000, have the stage and class
// "other". While the broker does not answer there is none.
type Collector struct {
	ctx   context.Context //nolint:containedctx // Collect has none of its own
	js    jetstream.JetStream
	total *prometheus.Desc

	mu     sync.Mutex
	of     state
	at     time.Time
	counts map[group]int
}

// state is what changes when letters come or go.
type state struct{ messages, last uint64 }

type group struct{ stage, class string }

// other stands for what is not told apart.
const other = "other"

// NewCollector returns a collector that works until ctx ends.
func NewCollector(ctx context.Context, js jetstream.JetStream) *Collector {
	return &Collector{
		ctx: ctx, js: js,
		total: prometheus.NewDesc("ragbus_dead_letters", "Work that was given up and waits for an operator.", []string{"stage", "class"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) { out <- c.total }

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(c.ctx, scrapeTimeout)
	defer cancel()
	counts, err := c.count(ctx)
	if err != nil {
		return
	}
	for g, n := range counts {
		out <- prometheus.MustNewConstMetric(c.total, prometheus.GaugeValue, float64(n), g.stage, g.class)
	}
}

// count returns the letters by group. They are read only when some came or
// went, and not more often than each countEvery.
func (c *Collector) count(ctx context.Context) (map[group]int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stream, err := c.js.Stream(ctx, broker.StreamDead)
	if err != nil {
		return nil, fmt.Errorf("look at the dead letters: %w", err)
	}
	now := state{stream.CachedInfo().State.Msgs, stream.CachedInfo().State.LastSeq}
	if c.counts != nil && (now == c.of || time.Since(c.at) < countEvery) {
		return c.counts, nil
	}
	counts, counted := map[group]int{}, 0
	if now.messages > 0 {
		err = broker.Browse(ctx, c.js, broker.Range{Stream: broker.StreamDead}, func(m broker.Leaf) bool {
			counts[groupOf(m)]++
			counted++
			return counted < maxCounted
		})
	}
	if err != nil {
		return nil, fmt.Errorf("count the dead letters: %w", err)
	}
	if rest := int(now.messages) - counted; rest > 0 && counted == maxCounted {
		counts[group{other, other}] += rest
	}
	for _, stage := range Stages() { // a series that ends at 0 and not at its last value
		counts[group{stage, fault.Transient.String()}] += 0
		counts[group{stage, fault.Permanent.String()}] += 0
	}
	c.counts, c.of, c.at = counts, now, time.Now()
	return counts, nil
}

// groupOf takes only values that are known, so that nobody who may write to
// the stream can make up series without end.
func groupOf(m broker.Leaf) group {
	kind, _, ok := address(m.Subject)
	if !ok {
		kind = undecodable(m.Subject)
	}
	stage := stageOf(kind)
	if stage == "" {
		return group{other, other}
	}
	return group{stage, fault.ParseClass(m.Header.Get(worker.HeaderDeadClass)).String()}
}

// undecodable returns the kind of a subject whose tenant is none.
func undecodable(subject string) event.Kind {
	for _, k := range working() {
		if strings.HasPrefix(subject, broker.DeadPrefix+strings.TrimSuffix(event.SubjectFilter(k), "*")) {
			return k
		}
	}
	return ""
}
