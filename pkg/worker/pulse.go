package worker

import (
	"context"
	"log/slog"
	"time"
)

// startPulse tells the broker at a third of its ack wait that the work goes
// on, and watches for a handler that ignores its context.
func (j *job) startPulse(ctx context.Context, giveUp time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.giveUp = giveUp
	if j.pulse != nil {
		return // it goes on
	}
	j.pulse = time.AfterFunc(j.nextBeat(time.Now()), func() {
		if j.beat(ctx) {
			j.w.abandon(ctx, j)
		}
	})
}

func (j *job) nextBeat(now time.Time) time.Duration {
	return max(time.Millisecond, min(j.w.heartbeat(), j.giveUp.Sub(now)))
}

// beat sends a heartbeat, or takes the delivery from its handler and returns
// true when that should have been done long ago.
func (j *job) beat(ctx context.Context) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.settled {
		return false
	}
	now := time.Now()
	if !now.Before(j.giveUp) {
		j.settled, j.stuck = true, true
		return true
	}
	if err := j.w.nc.Publish(j.msg.Reply, []byte(wireInProgress)); err != nil {
		j.log(ctx, slog.LevelWarn, "heartbeat", err)
	}
	j.pulse.Reset(j.nextBeat(now))
	return false
}

// claim makes the caller the one who settles, and ends the heartbeat. It is
// false when the delivery was abandoned as stuck.
func (j *job) claim() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.pulse != nil {
		j.pulse.Stop()
	}
	if j.settled {
		return false
	}
	j.settled = true
	return true
}
