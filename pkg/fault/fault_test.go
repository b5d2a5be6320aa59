package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTheOutermostClassCounts(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, c := range []struct {
		err       error
		class     Class
		retryable bool
	}{
		{plain, Transient, true},
		{Invalidf("c", "m"), Invalid, false},
		{fmt.Errorf("wrap: %w", NotFoundf("c", "m")), NotFound, false},
		{As(Permanent, Transientf("c", "m")), Permanent, false},
		{ThrottledFor(time.Second, plain), Throttled, true},
		{context.DeadlineExceeded, Transient, true},
	} {
		if Of(c.err) != c.class || Retryable(c.err) != c.retryable || !Is(c.err, c.class) {
			t.Errorf("%v: %s, retryable %v", c.err, Of(c.err), Retryable(c.err))
		}
	}
	if Is(nil, Transient) || As(Invalid, nil) != nil {
		t.Error("nil has a class")
	}
}

func TestAStrangerSeesNoCause(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial 10.0.0.1: password hush")
	for _, c := range []struct {
		err  error
		code string
	}{
		{secret, "internal"},
		{As(Permanent, secret), "internal"},
		{fmt.Errorf("doing: %w", Transientf("broker_unavailable", "the broker is away").WithCause(secret)), "broker_unavailable"},
		{As(Permanent, fmt.Errorf("x: %w", Invalidf("bad", "it is bad").WithCause(secret))), "bad"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), "deadline_exceeded"},
		{ThrottledFor(0, secret), "throttled"},
	} {
		code, message := Public(c.err)
		if code != c.code || message == "" || strings.Contains(message, "hush") {
			t.Errorf("%v: %s, %s", c.err, code, message)
		}
		if errors.Is(c.err, secret) && !strings.Contains(c.err.Error(), "hush") {
			t.Errorf("the log lost the cause: %v", c.err)
		}
	}
}

func TestClassesSurviveTheWire(t *testing.T) {
	t.Parallel()
	for _, c := range []Class{Transient, Invalid, NotFound, Permanent, Throttled} {
		if got := ParseClass(c.String()); got != c {
			t.Errorf("%s is read as %s", c, got)
		}
	}
	if ParseClass("unheard") != Transient {
		t.Error("an unknown class is not transient")
	}
	if err := New(Invalid, "c", "m").WithField("f"); Field(fmt.Errorf("x: %w", err)) != "f" || RetryAfter(ThrottledFor(time.Minute, nil)) != time.Minute {
		t.Error("field or pause got lost")
	}
}
