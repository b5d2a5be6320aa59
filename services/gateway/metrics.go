package gateway

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the gateway tells Prometheus.
type metrics struct {
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	firstFrame prometheus.Histogram
	streams    prometheus.Gauge
	chats      prometheus.Gauge
	uploads    prometheus.Gauge
	waits      prometheus.Gauge
	uploaded   prometheus.Counter
	cancelled  prometheus.Counter
	healed     prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ragbus_http_requests_total", Help: "HTTP requests answered.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ragbus_http_request_seconds", Help: "Time from a request's header to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}, []string{"route"}),
		firstFrame: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ragbus_chat_first_frame_seconds", Help: "Time from a question's acceptance to the first frame of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}),
		streams:   gauge("ragbus_sse_streams", "Server-sent event streams that are open."),
		chats:     gauge("ragbus_chats_waiting", "Requests that wait for an answer as JSON."),
		uploads:   gauge("ragbus_uploads_running", "Uploads whose bytes are being read."),
		waits:     gauge("ragbus_document_waits", "Requests that wait for a document to settle."),
		uploaded:  counter("ragbus_upload_bytes_total", "Bytes of documents stored."),
		cancelled: counter("ragbus_chat_abandoned_total", "Chats cancelled because their reader left and did not return."),
		healed:    counter("ragbus_chat_replays_total", "Answers read from the frames stream after a gap or on a resume."),
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.seconds, m.firstFrame, m.streams, m.chats, m.uploads, m.waits, m.uploaded, m.cancelled, m.healed,
	} {
		if err := reg.Register(c); err != nil {
			if _, twice := errors.AsType[prometheus.AlreadyRegisteredError](err); twice {
				return nil, fmt.Errorf("register metrics: another gateway uses this registry: %w", err)
			}
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// answered records one request that has its answer.
func (m *metrics) answered(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
