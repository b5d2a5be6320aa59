package gateway

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
)

// Bounds of what somebody is told to wait for a full queue.
const (
	minQueueWait = time.Second
	maxQueueWait = time.Minute
	// lookEvery is how often a full queue is looked at, however many are refused.
	lookEvery = time.Second
	// rateWindow is how old a look may be for the rate since then to count.
	rateWindow = 30 * time.Second
	lookTime   = time.Second
)

// forecast tells those whom the full queue of questions refused when it is
// worth trying again. It looks only when somebody is refused, at most once a
// second. It is safe for concurrent use.
type forecast struct {
	look func(ctx context.Context) (broker.Queue, error)
	now  func() time.Time

	mu sync.Mutex
	// last is the look that rates are measured from.
	last   broker.Queue
	lastAt time.Time
	wait   time.Duration
	until  time.Time
}

func newForecast(js jetstream.JetStream, now func() time.Time) *forecast {
	return &forecast{now: now, look: func(ctx context.Context) (broker.Queue, error) {
		return broker.QueueOf(ctx, js, broker.StreamChat, broker.ConsumerRetriever)
	}}
}

// after returns how long to wait, with jitter, so that those who were refused
// together do not come back together.
func (f *forecast) after(ctx context.Context) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.After(f.until) {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		f.wait, f.until = minQueueWait, now.Add(lookEvery)
		if q, err := f.look(ctx); err == nil {
			f.wait = f.estimate(q, now)
		}
	}
	return f.wait + rand.N(f.wait/4+1) //nolint:gosec // jitter is no secret
}

// estimate returns when half of what waits will have been taken: by the rate
// since the last look when there was one, else by the age of the oldest,
// which is what the queue took lately to pass (Little's law). When nothing is
// taken at all, the age is the best guess of how long that will go on.
func (f *forecast) estimate(q broker.Queue, now time.Time) time.Duration {
	queued, wait := float64(q.Waiting+q.InWork), q.Oldest
	since := now.Sub(f.lastAt)
	if since <= rateWindow && q.Taken > f.last.Taken && since > 0 {
		rate := float64(q.Taken-f.last.Taken) / since.Seconds()
		wait = time.Duration(queued / rate / 2 * float64(time.Second))
	} else if q.Taken != f.last.Taken {
		wait /= 2
	}
	if since >= lookEvery {
		f.last, f.lastAt = q, now
	}
	return min(max(wait, minQueueWait), maxQueueWait)
}
