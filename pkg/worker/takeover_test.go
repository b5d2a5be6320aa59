package worker_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

// rounds is how often a time is measured whose least counts: what the runtime
// needs shows in the best one, what the machine was busy with in the others.
const rounds = 3

// holding is a handler that works until it is ended.
func holding(ctx context.Context, _ embedDelivery) (events, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// takes starts a worker beside that takes whatever it gets, and returns when it got what.
func takes(t *testing.T, b *brokertest.Broker) (*workertest.Harness, <-chan time.Time) {
	t.Helper()
	got := make(chan time.Time, 16)
	return workertest.Start(t, b, quick(), worker.Handle(func(context.Context, embedDelivery) (events, error) {
		got <- time.Now()
		return nil, nil
	})), got
}

// TestAfterAStopWorkGoesOnElsewhereWithinASecond: a worker that is asked to
// stop (SIGTERM) hands back what it does not finish within its grace, and at
// once what the broker still gives it. Nobody waits for the ack wait, which is
// a minute here.
func TestAfterAStopWorkGoesOnElsewhereWithinASecond(t *testing.T) {
	t.Parallel()
	var begun, fresh []time.Duration
	for range rounds {
		b := brokertest.StartWith(t, broker.TopologyConfig{AckWait: time.Minute})
		cfg := quick()
		cfg.PullWait, cfg.Grace = time.Second, 1500*time.Millisecond
		first := workertest.Start(t, b, cfg, worker.Handle(holding))
		first.Publish(job(0))
		first.AwaitStarted(t, 1)
		second, got := takes(t, b)
		stopped := make(chan error, 1)
		go func() { stopped <- first.Stop() }()
		// Its other slots have asked the broker for work that they will not do.
		look := time.NewTicker(time.Millisecond)
		for first.Worker.Ready(t.Context()) == nil {
			<-look.C
		}
		look.Stop()
		published := time.Now()
		second.Publish(job(1), job(2), job(3))
		for range 3 {
			fresh = append(fresh, (<-got).Sub(published))
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		back := time.Now()
		begun = append(begun, (<-got).Sub(back))
		for _, s := range first.Await(t, 1, nil) {
			if s.Verdict.Action != worker.HandBack {
				t.Errorf("%+v", s)
			}
		}
		second.Await(t, 4, with(worker.Done))
	}
	t.Logf("new work was begun after %s, work that was handed back after %s", fresh, begun)
	slices.Sort(fresh)
	if fresh[len(fresh)/2] > time.Second || slices.Min(begun) > time.Second {
		t.Errorf("new work was begun after %s, work that was handed back after %s", fresh, begun)
	}
}

// TestAfterAKillWorkGoesOnElsewhereWithinTheAckWait: a worker that is gone
// without a word (kill -9) has given its last sign of life before, and the
// ack wait runs from there.
func TestAfterAKillWorkGoesOnElsewhereWithinTheAckWait(t *testing.T) {
	t.Parallel()
	var begun []time.Duration
	wait := shortAck().AckWait
	for range rounds {
		b := brokertest.StartTCPWith(t, shortAck())
		conn, killed := b.Connect(), &workertest.Recorder{}
		cfg := quick()
		cfg.PullWait, cfg.Grace = 100*time.Millisecond, 200*time.Millisecond
		w, err := worker.New(conn.JetStream(), cfg, worker.Deps{Observer: killed}, worker.Handle(holding))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		if err := b.Publisher.Publish(t.Context(), job(0)); err != nil {
			t.Fatal(err)
		}
		killed.AwaitStarted(t, 1)
		second, got := takes(t, b)
		// It lives, and says so, for longer than the ack wait.
		select {
		case <-got:
			t.Error("work was taken from a worker that lives")
		case <-time.After(2 * wait):
		}
		conn.NATS().Close()
		died := time.Now()
		begun = append(begun, (<-got).Sub(died))
		if s := second.Await(t, 1, with(worker.Done))[0]; s.Attempt != 2 {
			t.Errorf("%+v", s)
		}
		stop()
		if err := <-ended; err == nil {
			t.Error("a worker without a broker ended well")
		}
	}
	t.Logf("work was begun after %s, with an ack wait of %s", begun, wait)
	if slices.Min(begun) > wait+wait/2 {
		t.Errorf("work was begun after %s, with an ack wait of %s", begun, wait)
	}
	for _, s := range broker.NewTopology(broker.TopologyConfig{}).Streams {
		for _, c := range s.Consumers {
			if c.AckWait > 10*time.Second {
				t.Errorf("by default the ack wait of %s is %s", c.Durable, c.AckWait)
			}
		}
	}
}
