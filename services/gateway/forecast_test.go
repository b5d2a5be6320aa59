package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
)

// TestTheWaitForAFullQueueFollowsItsAgeAndRate drives the forecast with looks
// at a queue, a clock and no broker.
func TestTheWaitForAFullQueueFollowsItsAgeAndRate(t *testing.T) {
	t.Parallel()
	type seen struct {
		later time.Duration
		q     broker.Queue
		err   error
		want  time.Duration
	}
	second := time.Second
	for name, looks := range map[string][]seen{
		"by age before there is a rate": {
			{0, broker.Queue{Waiting: 4000, Oldest: 24 * second, Taken: 100}, nil, 12 * second},
		},
		"by rate after": {
			{0, broker.Queue{Waiting: 4000, Oldest: 24 * second, Taken: 100}, nil, 12 * second},
			// 400 in 2 s, 4,000 wait: half is gone in 10 s.
			{2 * second, broker.Queue{Waiting: 3900, InWork: 100, Oldest: 24 * second, Taken: 500}, nil, 10 * second},
			// Twice as fast now.
			{2 * second, broker.Queue{Waiting: 3900, InWork: 100, Oldest: 24 * second, Taken: 1300}, nil, 5 * second},
		},
		"nobody takes anything": {
			{0, broker.Queue{Waiting: 10, Oldest: 20 * second, Taken: 7}, nil, 10 * second},
			{2 * second, broker.Queue{Waiting: 10, Oldest: 22 * second, Taken: 7}, nil, 22 * second},
			{50 * second, broker.Queue{Waiting: 10, Oldest: 72 * second, Taken: 7}, nil, time.Minute},
		},
		"an old look has no rate": {
			{0, broker.Queue{Waiting: 10, Oldest: 20 * second, Taken: 7}, nil, 10 * second},
			{time.Hour, broker.Queue{Waiting: 10, Oldest: 8 * second, Taken: 7000}, nil, 4 * second},
		},
		"never under a second": {
			{0, broker.Queue{Waiting: 3, Oldest: 10 * time.Millisecond, Taken: 9}, nil, second},
		},
		"the broker is away": {
			{0, broker.Queue{}, errors.New("away"), second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Unix(1_800_000_000, 0)
			var next seen
			f := &forecast{now: func() time.Time { return now }, look: func(context.Context) (broker.Queue, error) { return next.q, next.err }}
			for i, l := range looks {
				now, next = now.Add(l.later), l
				got := f.after(t.Context())
				if got < l.want || got > l.want+l.want/4+1 {
					t.Errorf("look %d: wait %s, want %s and up to a quarter more", i, got, l.want)
				}
			}
		})
	}
}

func TestAFullQueueIsLookedAtOnceASecond(t *testing.T) {
	t.Parallel()
	now, n := time.Unix(1_800_000_000, 0), 0
	f := &forecast{now: func() time.Time { return now }, look: func(context.Context) (broker.Queue, error) {
		n++
		return broker.Queue{}, nil
	}}
	for range 1000 {
		now = now.Add(10 * time.Millisecond)
		f.after(t.Context())
	}
	if n < 9 || n > 11 {
		t.Fatalf("looked %d times in 10 s", n)
	}
}
