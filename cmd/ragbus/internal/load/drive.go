package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Plan says what to ask.
type Plan struct {
	// Addr is the server's host:port.
	Addr string `json:"addr"`
	// Seed and Sections are those of the library that the server holds.
	Seed     uint64 `json:"seed"`
	Sections int    `json:"sections"`
	// First is the number of the first question; Questions how many are asked.
	First     int `json:"first"`
	Questions int `json:"questions"`
	// Clients ask at the same time, each its next question when it has the
	// last answer, over a connection that it keeps.
	Clients int `json:"clients"`
	// Stream reads server-sent events instead of one JSON object.
	Stream bool `json:"stream"`
	// Search asks for passages only.
	Search bool `json:"search"`
	// Timeout bounds one answer; 0 is a minute.
	Timeout time.Duration `json:"timeout"`
}

// Report is what came of a plan.
type Report struct {
	Questions int `json:"questions"`
	// Failed counts what was not answered as it should be; FirstFailure describes one of them.
	Failed       int    `json:"failed"`
	FirstFailure string `json:"first_failure,omitempty"`
	// Took is from the first question to the last answer.
	Took time.Duration `json:"took"`
	// P50, P90, P99 and Max are of the time from a question's first byte sent to its answer's last received.
	P50 time.Duration `json:"p50"`
	P90 time.Duration `json:"p90"`
	P99 time.Duration `json:"p99"`
	Max time.Duration `json:"max"`
	// First is the median time to the first byte of the answer's body, of a
	// stream to its first delta; FirstP99 is that of 99 in 100.
	First    time.Duration `json:"first"`
	FirstP99 time.Duration `json:"first_p99"`
	// Bytes were received in answers' bodies.
	Bytes int64 `json:"bytes"`
	// CPU is what this process spent, asking included, texts made before excluded.
	CPU time.Duration `json:"cpu"`
}

// PerSecond returns how many questions were answered in a second.
func (r *Report) PerSecond() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Questions-r.Failed) / r.Took.Seconds()
}

// Validate reports what cannot be driven.
func (p Plan) Validate() error {
	if p.Addr == "" || p.Questions < 1 || p.Clients < 1 || p.Sections < 1 || p.Stream && p.Search {
		return fmt.Errorf("not a plan: %+v", p)
	}
	return nil
}

// body returns the request's body of a question.
func (p Plan) body(question string) ([]byte, error) {
	if p.Search {
		return json.Marshal(map[string]any{"query": question})
	}
	return json.Marshal(map[string]any{"question": question, "stream": p.Stream})
}

// requests are made before the clock starts: making texts is not the server's work.
func (p Plan) requests() ([][]byte, error) {
	library := NewLibrary(p.Seed, p.Sections)
	path, accept := "/v1/chat", "application/json"
	if p.Search {
		path = "/v1/search"
	}
	if p.Stream {
		accept = "text/event-stream"
	}
	out := make([][]byte, p.Questions)
	for i := range out {
		body, err := p.body(library.Question(p.First + i))
		if err != nil {
			return nil, fmt.Errorf("encode question %d: %w", i, err)
		}
		out[i] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAccept: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, p.Addr, accept, len(body), body)
	}
	return out, nil
}

// Drive carries out a plan. The error is for what kept it from being carried
// out; questions that were answered badly are in the report.
func Drive(ctx context.Context, p Plan) (Report, error) {
	if err := p.Validate(); err != nil {
		return Report{}, err
	}
	if p.Timeout == 0 {
		p.Timeout = time.Minute
	}
	requests, err := p.requests()
	if err != nil {
		return Report{}, err
	}
	clients := make([]*caller, p.Clients)
	for i := range clients {
		clients[i] = &caller{plan: p}
		if err := clients[i].connect(ctx); err != nil {
			return Report{}, errors.Join(err, hangUp(clients))
		}
	}
	var next atomic.Int64
	var running sync.WaitGroup
	cpu, started := ProcessCPU(), time.Now()
	for _, c := range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				c.ask(ctx, requests[i])
			}
		})
	}
	running.Wait()
	report := Report{Took: time.Since(started), CPU: ProcessCPU() - cpu}
	report.collect(clients)
	return report, errors.Join(ctx.Err(), hangUp(clients))
}

func hangUp(clients []*caller) error {
	var problems []error
	for _, c := range clients {
		if c != nil {
			problems = append(problems, c.close())
		}
	}
	return errors.Join(problems...)
}

func (r *Report) collect(clients []*caller) {
	var took, first []time.Duration
	for _, c := range clients {
		took, first = append(took, c.took...), append(first, c.first...)
		r.Failed += c.failed
		r.Bytes += c.bytes
		if r.FirstFailure == "" {
			r.FirstFailure = c.failure
		}
	}
	r.Questions = len(took) + r.Failed
	slices.Sort(took)
	slices.Sort(first)
	r.P50, r.P90, r.P99, r.Max = quantile(took, 0.5), quantile(took, 0.9), quantile(took, 0.99), quantile(took, 1)
	r.First, r.FirstP99 = quantile(first, 0.5), quantile(first, 0.99)
}

// quantile returns the smallest value that at least the share q of the sorted
// values does not exceed (the nearest rank), 0 for none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}
