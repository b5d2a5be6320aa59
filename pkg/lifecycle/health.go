package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Healthy is what a check reports when nothing is wrong.
const Healthy = "healthy"

// NextCallTries is the note of a part that failed and is tried again by the
// next call: whether it works by now is not known.
const NextCallTries = "the next call tries it again"

// ProbeTimeout bounds one check.
const ProbeTimeout = 2 * time.Second

// healthSubject is where every service answers how it is.
const healthSubject = "rag.health.v1"

// Check asks one dependency whether it works. A check never costs money.
type Check struct {
	// Name is the part as shown to people: "database", "vector_store".
	Name  string
	Probe func(ctx context.Context) error
	// Note returns what people should know about the part although it works,
	// "" for nothing; it may be nil.
	Note func() string
}

// Notes returns what checks have to say, by name, without those that are silent.
func Notes(checks []Check) map[string]string {
	out := map[string]string{}
	for _, c := range checks {
		if c.Note == nil {
			continue
		}
		if note := c.Note(); note != "" {
			out[c.Name] = note
		}
	}
	return out
}

// Report is one process's view of the parts it uses.
type Report struct {
	Service string `json:"service"`
	// Checks maps a part to "healthy" or "unhealthy: <public reason>".
	Checks map[string]string `json:"checks"`
	// Notes are what else is to be known about a part.
	Notes map[string]string `json:"notes,omitempty"`
}

// Probe runs checks in parallel, each within [ProbeTimeout], and returns the
// result by name.
func Probe(ctx context.Context, checks []Check) map[string]string {
	out := make(map[string]string, len(checks))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, c := range checks {
		wg.Go(func() {
			result := probe(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			out[c.Name] = result
		})
	}
	wg.Wait()
	return out
}

func probe(ctx context.Context, c Check) string {
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	err := c.Probe(ctx)
	switch {
	case err == nil:
		return Healthy
	case errors.Is(err, context.DeadlineExceeded):
		return "unhealthy: no answer in time"
	}
	if code, message := fault.Public(err); code != "internal" {
		return "unhealthy: " + message
	}
	return "unhealthy: unreachable"
}

// Respond lets a process answer [Gather] until stop is called. It returns when
// the broker knows of it, or without waiting longer than [ProbeTimeout] for a
// broker that is away, which is told when it is back.
func Respond(ctx context.Context, nc *nats.Conn, service string, checks []Check) (stop func() error, err error) {
	// One probe at a time: whoever asks meanwhile shares its answer.
	var mu sync.Mutex
	sub, err := nc.Subscribe(healthSubject, func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), ProbeTimeout) //nolint:forbidigo // a subscription has no context of its own
		defer cancel()
		data, err := json.Marshal(Report{Service: service, Checks: Probe(ctx, checks), Notes: Notes(checks)})
		if err == nil {
			_ = m.Respond(data) // an error means that who asked has left
		}
	})
	if err != nil {
		return nil, fault.As(fault.Transient, fmt.Errorf("subscribe to health requests: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout)
	defer cancel()
	_ = nc.FlushWithContext(ctx) // the client subscribes again when it connects again
	return func() error {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			return fmt.Errorf("stop answering health requests: %w", err)
		}
		return nil
	}, nil
}

// Gather asks every process how it is and returns the reports that came
// until each service of want has answered once or ctx ended.
func Gather(ctx context.Context, nc *nats.Conn, want ...string) ([]Report, error) {
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fault.As(fault.Transient, fmt.Errorf("subscribe for health reports: %w", err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(healthSubject, inbox, nil); err != nil {
		return nil, fault.As(fault.Transient, fmt.Errorf("ask for health: %w", err))
	}
	missing := slices.Clone(want)
	var reports []Report
	for len(missing) > 0 {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			break // no responders, or out of time: what came is the answer
		}
		var r Report
		if json.Unmarshal(m.Data, &r) != nil {
			continue
		}
		reports = append(reports, r)
		missing = slices.DeleteFunc(missing, func(s string) bool { return s == r.Service })
	}
	return reports, nil
}
