package worker

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics is the [Observer] that exports deliveries to Prometheus:
// ragbus_deliveries_total by consumer, kind and verdict, ragbus_delivery_seconds
// and ragbus_queue_wait_seconds by kind, ragbus_deliveries_in_work by consumer,
// ragbus_stuck_handlers_total by kind. What cannot be decoded has the kind "unknown".
type Metrics struct {
	total  *prometheus.CounterVec
	took   *prometheus.HistogramVec
	waited *prometheus.HistogramVec
	inWork *prometheus.GaugeVec
	stuck  *prometheus.CounterVec
}

var _ Observer = (*Metrics)(nil)

// NewMetrics registers the metrics. One observer serves all workers of a process.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	// From a tenth of a millisecond to about seven minutes.
	buckets := prometheus.ExponentialBuckets(0.0001, 4, 12)
	m := &Metrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_deliveries_total", Help: "Deliveries that ended, by how.",
		}, []string{"consumer", "kind", "verdict"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ragbus_delivery_seconds", Help: "Time from a delivery to its settlement.", Buckets: buckets,
		}, []string{"kind"}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ragbus_queue_wait_seconds", Help: "Time that a message was in its stream before a delivery.", Buckets: buckets,
		}, []string{"kind"}),
		inWork: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ragbus_deliveries_in_work", Help: "Deliveries that a handler of this process works on.",
		}, []string{"consumer"}),
		stuck: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_stuck_handlers_total", Help: "Handlers that ignored the end of their context.",
		}, []string{"kind"}),
	}
	for _, c := range []prometheus.Collector{m.total, m.took, m.waited, m.inWork, m.stuck} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the workers' metrics: %w", err)
		}
	}
	return m, nil
}

// Started implements [Observer].
func (m *Metrics) Started(i Info) {
	m.inWork.WithLabelValues(i.Consumer).Inc()
	m.waited.WithLabelValues(kindLabel(i)).Observe(i.QueueWait.Seconds())
}

// Settled implements [Observer].
func (m *Metrics) Settled(i Info, o Outcome) {
	m.inWork.WithLabelValues(i.Consumer).Dec()
	m.total.WithLabelValues(i.Consumer, kindLabel(i), o.Verdict.Action.String()).Inc()
	m.took.WithLabelValues(kindLabel(i)).Observe(o.Took.Seconds())
	if o.Stuck {
		m.stuck.WithLabelValues(kindLabel(i)).Inc()
	}
}

func kindLabel(i Info) string {
	if i.Kind == "" {
		return "unknown"
	}
	return string(i.Kind)
}
