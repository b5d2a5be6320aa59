package worker

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	cfg := Config{BackoffBase: time.Second, BackoffMax: 10 * time.Second, ThrottleMax: time.Minute}.WithDefaults()
	most := func(n time.Duration) time.Duration { return n }
	plain := errors.New("plain")
	throttled := func(d time.Duration) error { return fault.ThrottledFor(d, plain) }
	tests := map[string]struct {
		in   outcome
		want Verdict
	}{
		"no error":                       {outcome{attempt: 9, maxAttempts: 3, expired: true, stopping: true}, Verdict{Done, 0}},
		"first failure":                  {outcome{err: plain, attempt: 1, maxAttempts: 3}, Verdict{Retry, time.Second}},
		"second failure":                 {outcome{err: plain, attempt: 2, maxAttempts: 9}, Verdict{Retry, 2 * time.Second}},
		"fifth failure meets the cap":    {outcome{err: plain, attempt: 5, maxAttempts: 9}, Verdict{Retry, 10 * time.Second}},
		"thousandth failure":             {outcome{err: plain, attempt: 1000, maxAttempts: 2000}, Verdict{Retry, 10 * time.Second}},
		"timeout":                        {outcome{err: context.DeadlineExceeded, attempt: 1, maxAttempts: 3}, Verdict{Retry, time.Second}},
		"panic":                          {outcome{err: &panicked{}, attempt: 1, maxAttempts: 3}, Verdict{Retry, time.Second}},
		"last attempt":                   {outcome{err: plain, attempt: 3, maxAttempts: 3}, Verdict{Bury, 0}},
		"beyond the last":                {outcome{err: plain, attempt: 4, maxAttempts: 3}, Verdict{Bury, 0}},
		"permanent":                      {outcome{err: fault.Permanentf("x", "x"), attempt: 1, maxAttempts: 3}, Verdict{Bury, 0}},
		"invalid":                        {outcome{err: fault.Invalidf("x", "x"), attempt: 1, maxAttempts: 3}, Verdict{Bury, 0}},
		"not found":                      {outcome{err: fault.NotFoundf("x", "x"), attempt: 1, maxAttempts: 3}, Verdict{Bury, 0}},
		"expired":                        {outcome{err: plain, attempt: 1, maxAttempts: 3, expired: true}, Verdict{Bury, 0}},
		"throttled and expired":          {outcome{err: throttled(time.Second), attempt: 1, maxAttempts: 3, expired: true}, Verdict{Bury, 0}},
		"throttled":                      {outcome{err: throttled(20 * time.Second), attempt: 1, maxAttempts: 3}, Verdict{Later, 22*time.Second + 1}},
		"throttled without a time":       {outcome{err: throttled(0), attempt: 2, maxAttempts: 3}, Verdict{Later, 2200*time.Millisecond + 1}},
		"throttled for too long":         {outcome{err: throttled(time.Hour), attempt: 1, maxAttempts: 3}, Verdict{Later, 66*time.Second + 1}},
		"throttled again and again":      {outcome{err: throttled(time.Second), attempt: 8, maxAttempts: 9}, Verdict{Later, 11*time.Second + 1}},
		"throttled on the last attempt":  {outcome{err: throttled(time.Second), attempt: 3, maxAttempts: 3}, Verdict{Bury, 0}},
		"stopping":                       {outcome{err: ErrStopping, attempt: 1, maxAttempts: 3, stopping: true}, Verdict{HandBack, 100 * time.Millisecond}},
		"stopping on the last attempt":   {outcome{err: plain, attempt: 3, maxAttempts: 3, stopping: true}, Verdict{HandBack, 100 * time.Millisecond}},
		"stopping makes errors doubtful": {outcome{err: fault.Permanentf("x", "x"), attempt: 1, maxAttempts: 3, stopping: true}, Verdict{HandBack, 100 * time.Millisecond}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, decide(test.in, cfg, most)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestARetryIsNeverImmediateAndNeverBeyondTheCap(t *testing.T) {
	t.Parallel()
	cfg := Config{}.WithDefaults()
	for attempt := 1; attempt < 100; attempt++ {
		for range 100 {
			if d := retryDelay(attempt, cfg, drawEvenly); d < minDelay || d > cfg.BackoffMax {
				t.Fatalf("attempt %d waits %s", attempt, d)
			}
		}
	}
}

func TestConfigInvariants(t *testing.T) {
	t.Parallel()
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
	for name, c := range map[string]Config{
		"grace below pull wait": {PullWait: 10 * time.Second, Grace: 5 * time.Second},
		"no slots":              {Slots: -1},
		"no attempts":           {MaxAttempts: -1},
		"tiny pull":             {PullWait: time.Millisecond},
		"no timeout":            {Timeout: -1},
		"backoff upside down":   {BackoffBase: time.Minute, BackoffMax: time.Second},
		"throttle":              {ThrottleMax: -1},
		"settle":                {SettleTimeout: -1},
		"stuck":                 {StuckAfter: -1},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestStoryLine(t *testing.T) {
	t.Parallel()
	long := ""
	for range 200 {
		long += "äö"
	}
	for in, want := range map[string]string{"a\r\nb\x00c": "a  b c", "\xff": " ", "plain": "plain"} {
		if got := storyLine(in); got != want {
			t.Errorf("storyLine(%q) = %q", in, got)
		}
	}
	if got := storyLine(long); len(got) > storyText || got != long[:len(got)] {
		t.Errorf("%d bytes", len(got))
	}
}
