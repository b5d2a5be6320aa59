package gateway

import "github.com/prometheus/client_golang/prometheus"

// slots bounds how many of a kind run at a time. Nobody queues for one:
// whoever finds none is answered at once.
type slots struct {
	free  chan struct{}
	gauge prometheus.Gauge
}

func newSlots(n int, gauge prometheus.Gauge) *slots {
	return &slots{free: make(chan struct{}, n), gauge: gauge}
}

// take reports whether a slot was free; it must be given back with [slots.give].
func (s *slots) take() bool {
	select {
	case s.free <- struct{}{}:
		s.gauge.Inc()
		return true
	default:
		return false
	}
}

func (s *slots) give() {
	s.gauge.Dec()
	<-s.free
}
