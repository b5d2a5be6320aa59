package worker

import (
	"time"

	"github.com/ragbus/ragbus/pkg/event"
)

// Info names a delivery.
type Info struct {
	Stream   string
	Consumer string
	Subject  string
	// Sequence is the message's place in the stream.
	Sequence uint64
	// Kind and EventID are "" when the message could not be decoded.
	Kind    event.Kind
	EventID string
	Attempt int
	// QueueWait is how long the message was in the stream before this delivery began.
	QueueWait time.Duration
}

// Outcome is how a delivery ended.
type Outcome struct {
	Verdict Verdict
	// Took is the time from the delivery to its settlement.
	Took time.Duration
	// Err is what the verdict was reached from; nil when it is Done.
	Err error
	// SettleErr says that the broker did not take the verdict; the message comes again.
	SettleErr error
	// Stuck says that the handler ignored the end of its context and still runs.
	Stuck bool
}

// Observer is told of deliveries, for metrics and tests. Its methods are
// called from many goroutines and must return quickly. Every Started is
// followed by exactly one Settled.
type Observer interface {
	Started(info Info)
	Settled(info Info, outcome Outcome)
}

// Unobserved is the [Observer] that ignores everything.
type Unobserved struct{}

// Started implements [Observer].
func (Unobserved) Started(Info) {}

// Settled implements [Observer].
func (Unobserved) Settled(Info, Outcome) {}
