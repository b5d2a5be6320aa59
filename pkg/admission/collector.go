package admission

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/catalog"
)

const (
	// scrapeTimeout bounds what a scrape waits for the record.
	scrapeTimeout = 2 * time.Second
	// measureEvery bounds how often what waits is counted anew: all of it is looked at.
	measureEvery = 10 * time.Second
)

// Collector exports what was accepted and waits on record for its tenant's
// turn in the queue, over all tenants, by step: ragbus_ingest_line_waiting in
// documents and ragbus_ingest_line_oldest_seconds. Nothing here is lost or
// stuck by itself; an oldest that grows for long says that ingestion is slower
// than its uploads, or that nobody gives work out. While the record does not
// answer there is none.
type Collector struct {
	ctx     context.Context //nolint:containedctx // Collect has none of its own
	line    catalog.Line
	now     func() time.Time
	waiting *prometheus.Desc
	oldest  *prometheus.Desc

	mu      sync.Mutex
	at      time.Time
	lengths map[catalog.Step]catalog.LineLength
}

// NewCollector returns a collector that works until ctx ends; now is the
// clock, nil for the system's.
func NewCollector(ctx context.Context, line catalog.Line, now func() time.Time) *Collector {
	if now == nil {
		now = time.Now
	}
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("ragbus_ingest_line_"+name, help, []string{"step"}, nil)
	}
	return &Collector{
		ctx: ctx, line: line, now: now,
		waiting: desc("waiting", "Documents that are accepted and wait for their tenant's turn in the ingestion queue."),
		oldest:  desc("oldest_seconds", "For how long the one of them has waited that waits longest."),
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	out <- c.waiting
	out <- c.oldest
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if err := c.measure(now); err != nil {
		return
	}
	for _, step := range catalog.Steps() { // a series that ends at 0 and not at its last value
		l := c.lengths[step]
		age := 0.0
		if l.Documents > 0 {
			age = max(0, now.Sub(l.Since).Seconds())
		}
		out <- prometheus.MustNewConstMetric(c.waiting, prometheus.GaugeValue, float64(l.Documents), string(step))
		out <- prometheus.MustNewConstMetric(c.oldest, prometheus.GaugeValue, age, string(step))
	}
}

// measure asks the record, unless it just did. The caller holds c.mu.
func (c *Collector) measure(now time.Time) error {
	if c.lengths != nil && now.Sub(c.at) < measureEvery {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, scrapeTimeout)
	defer cancel()
	lengths, err := c.line.Lengths(ctx)
	if err != nil {
		return err //nolint:wrapcheck // nobody is told
	}
	c.lengths, c.at = make(map[catalog.Step]catalog.LineLength, len(lengths)), now
	for _, l := range lengths {
		c.lengths[l.Step] = l
	}
	return nil
}
