package reply

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestCancellationsAreForgotten(t *testing.T) {
	t.Parallel()
	l := NewCancelListener(nil)
	now := time.Now()
	l.now = func() time.Time { return now }
	cancelled := func(request string) bool {
		ctx, stop := l.Watch(t.Context(), request)
		defer stop()
		return errors.Is(context.Cause(ctx), ErrCancelled)
	}
	l.receive(&nats.Msg{Subject: CancelPrefix + "old"})
	l.receive(&nats.Msg{Subject: CancelPrefix + "bad.token"})
	if !cancelled("old") || cancelled("bad.token") {
		t.Error("not remembered, or too much")
	}
	now = now.Add(rememberFor)
	if cancelled("old") {
		t.Error("remembered for ever")
	}
	for i := range rememberMost + 100 {
		l.receive(&nats.Msg{Subject: fmt.Sprintf("%sr%d", CancelPrefix, i)})
	}
	if len(l.recent) != rememberMost || len(l.order) != rememberMost || cancelled("r0") || !cancelled("r8000") {
		t.Errorf("%d are remembered", len(l.recent))
	}
	if len(l.watching) != 0 {
		t.Errorf("%d are watched", len(l.watching))
	}
}
