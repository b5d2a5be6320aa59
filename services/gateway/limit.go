package gateway

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/fault"
)

// slots bounds how many of a kind run at a time, in all and of one tenant.
// Nobody queues for one: whoever finds none is answered at once.
type slots struct {
	// code and what name the bound in the answer to whoever finds none.
	code, what string
	total      int
	// share is how many one tenant may have.
	share int
	gauge prometheus.Gauge

	mu     sync.Mutex
	taken  int
	tenant map[string]int
}

// newSlots returns n slots. When tenants are told apart, none has more than
// half of them, so that no tenant can lock all others out.
func newSlots(n int, apart bool, code, what string, gauge prometheus.Gauge) *slots {
	share := n
	if apart {
		share = (n + 1) / 2
	}
	return &slots{code: code, what: what, total: n, share: share, gauge: gauge, tenant: map[string]int{}}
}

// shareRetry is after when whoever used their share up may look again.
const shareRetry = time.Second

// take takes a slot for a tenant; it must be given back with [slots.give].
// Without a free one it is a Transient fault, and a Throttled one when only the
// tenant's share is used up.
func (s *slots) take(tenant string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= s.total {
		return overloaded(s.code, s.what)
	}
	if s.tenant[tenant] >= s.share {
		return fault.Throttledf(shareRetry, "tenant_share_used", "this tenant has as many %s under way as one tenant may have at a time", s.what)
	}
	s.taken++
	s.tenant[tenant]++
	s.gauge.Inc()
	return nil
}

func (s *slots) give(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.tenant[tenant]--; s.tenant[tenant] <= 0 {
		delete(s.tenant, tenant)
	}
	s.gauge.Dec()
}

// inUse returns how many slots are taken.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}
