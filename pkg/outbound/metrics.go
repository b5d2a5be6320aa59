package outbound

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what a process tells of its calls to the outside. Make one for
// a process with [NewMetrics].
type Metrics struct {
	calls     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	retries   *prometheus.CounterVec
	breaker   *prometheus.GaugeVec
	inFlight  *prometheus.GaugeVec
	fallbacks *prometheus.CounterVec

	pacerAsked *prometheus.CounterVec
	pacerAlone *prometheus.GaugeVec
}

// NewMetrics registers the metrics. A nil registerer keeps them to themselves.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_outbound_calls_total", Help: "Calls to an external endpoint, by outcome: ok, ended (by the caller), open (refused by the breaker) or the class of the error.",
		}, []string{"endpoint", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ragbus_outbound_seconds", Help: "Time of each call to an external endpoint, streams to their end.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"endpoint"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_outbound_retries_total", Help: "Calls that were repeated.",
		}, []string{"endpoint"}),
		breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ragbus_outbound_breaker_state", Help: "State of the endpoint's circuit breaker: 0 closed, 1 half open, 2 open.",
		}, []string{"endpoint"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ragbus_outbound_in_flight", Help: "Calls to an external endpoint that are under way.",
		}, []string{"endpoint"}),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_outbound_fallbacks_total", Help: "Answers that a model of the chain was asked for because the one before it failed.",
		}, []string{"from", "to"}),
		pacerAsked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_pacer_calls_total", Help: "Calls that asked the pacer, by lane and verdict: granted or throttled.",
		}, []string{"budget", "lane", "verdict"}),
		pacerAlone: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ragbus_pacer_alone", Help: "1 while the shared bucket is away and this replica keeps to its part of the limit.",
		}, []string{"budget"}),
	}
	if reg != nil {
		reg.MustRegister(m.calls, m.seconds, m.retries, m.breaker, m.inFlight, m.fallbacks, m.pacerAsked, m.pacerAlone)
	}
	return m
}
