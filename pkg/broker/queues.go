package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// Queue is the state of one durable consumer.
type Queue struct {
	Stream   string
	Consumer string
	// Waiting is how many messages no worker has yet; InWork how many one has.
	Waiting, InWork int
	// Pulls is how many requests for work wait, over all replicas; one asks for
	// as many messages as its worker has slots. None means that nobody works, or all are busy.
	Pulls int
	// Oldest is the age of the oldest message that is not settled; 0 when there is none.
	Oldest time.Duration
	// Taken is how many deliveries there were since the consumer was made:
	// the difference of two looks is the rate at which work is taken.
	Taken uint64
}

// Queues asks for the state of every consumer of the topology.
func Queues(ctx context.Context, js jetstream.JetStream, t Topology) ([]Queue, error) {
	var out []Queue
	for _, s := range t.Streams {
		for _, c := range s.Consumers {
			q, err := QueueOf(ctx, js, s.Name, c.Durable)
			if err != nil {
				return nil, fmt.Errorf("look at the queue of %s: %w", c.Durable, err)
			}
			out = append(out, q)
		}
	}
	return out, nil
}

// QueueOf asks for the state of one consumer.
func QueueOf(ctx context.Context, js jetstream.JetStream, stream, name string) (Queue, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return Queue{}, err
	}
	c, err := s.Consumer(ctx, name)
	if err != nil {
		return Queue{}, err
	}
	info := c.CachedInfo()
	q := Queue{
		Stream: stream, Consumer: name, Waiting: int(info.NumPending), InWork: info.NumAckPending, Pulls: info.NumWaiting,
		Taken: info.Delivered.Consumer,
	}
	if q.Waiting+q.InWork == 0 {
		return q, nil
	}
	// The first message behind the last settled one is the oldest of this
	// consumer's; it may be settled meanwhile, and then there is none.
	for _, filter := range filterSubjects(info.Config) {
		m, err := s.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(filter))
		switch {
		case err == nil:
			q.Oldest = max(q.Oldest, time.Since(m.Time))
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return Queue{}, err
		}
	}
	return q, nil
}

func filterSubjects(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// scrapeTimeout bounds what a scrape waits for the broker.
const scrapeTimeout = 2 * time.Second

// QueueCollector exports the queues as Prometheus metrics, asked for at each scrape:
// ragbus_queue_waiting, ragbus_queue_in_work, ragbus_queue_pulls and
// ragbus_queue_oldest_seconds, by stream and consumer. While the broker does
// not answer there are none.
type QueueCollector struct {
	ctx      context.Context //nolint:containedctx // Collect has none of its own
	js       jetstream.JetStream
	topology Topology
	waiting  *prometheus.Desc
	inWork   *prometheus.Desc
	pulls    *prometheus.Desc
	oldest   *prometheus.Desc
}

// NewQueueCollector returns a collector that works until ctx ends.
func NewQueueCollector(ctx context.Context, js jetstream.JetStream, t Topology) *QueueCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("ragbus_queue_"+name, help, []string{"stream", "consumer"}, nil)
	}
	return &QueueCollector{
		ctx: ctx, js: js, topology: t,
		waiting: desc("waiting", "Messages that no worker has yet."),
		inWork:  desc("in_work", "Messages that a worker has and has not settled."),
		pulls:   desc("pulls", "Requests of workers for messages that wait; each is for as many as it has slots."),
		oldest:  desc("oldest_seconds", "Age of the oldest message that is not settled."),
	}
}

// Describe implements prometheus.Collector.
func (c *QueueCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.waiting, c.inWork, c.pulls, c.oldest} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *QueueCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(c.ctx, scrapeTimeout)
	defer cancel()
	queues, err := Queues(ctx, c.js, c.topology)
	if err != nil {
		return
	}
	for _, q := range queues {
		gauge := func(d *prometheus.Desc, v float64) {
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, q.Stream, q.Consumer)
		}
		gauge(c.waiting, float64(q.Waiting))
		gauge(c.inWork, float64(q.InWork))
		gauge(c.pulls, float64(q.Pulls))
		gauge(c.oldest, q.Oldest.Seconds())
	}
}
