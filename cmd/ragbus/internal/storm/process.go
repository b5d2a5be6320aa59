package storm

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
)

// bringBackTime bounds how long a process may need to be ready again, with
// all the starts that it is refused while its parts are away.
const bringBackTime = 2 * time.Minute

// bringBack starts a process and waits until it is ready, again and again
// when it ends instead, as the supervisor of any installation does.
func bringBack(ctx context.Context, c *stack.Child) error {
	ctx, cancel := context.WithTimeout(ctx, bringBackTime)
	defer cancel()
	for {
		if !c.Running() {
			if err := c.Launch(); err != nil {
				return err
			}
		}
		err := c.Ready(ctx)
		if err == nil {
			return nil
		}
		if !pause(ctx, 300*time.Millisecond) {
			return err
		}
	}
}

// begin starts a process for the first time: it must not end.
func begin(ctx context.Context, c *stack.Child) error {
	ctx, cancel := context.WithTimeout(ctx, bringBackTime)
	defer cancel()
	if err := c.Launch(); err != nil {
		return err
	}
	return c.Ready(ctx)
}

// ended tells of a process that is not running though nobody ended it, "" for none.
func ended(c *stack.Child) string {
	if c.Running() {
		return ""
	}
	log := c.Log.String()
	return fmt.Sprintf("%s ended by itself: %v\n%s", c.Name, c.Err(), log[max(0, len(log)-3000):])
}

// disturb is what can be done to a process: it is killed, paused or asked to
// stop, and comes back.
func disturb(found *findings, c *stack.Child, service string, weight int) []fault {
	check := func() {
		if text := ended(c); text != "" {
			found.violatef(6, nil, "%s", text)
		}
	}
	between := func(rnd *rand.Rand, from, to time.Duration) time.Duration {
		return from + time.Duration(rnd.Int64N(int64(to-from)))
	}
	return []fault{
		{kind: "SIGKILL " + service, target: c.Name, weight: 3 * weight, hits: []string{service}, run: func(ctx context.Context, rnd *rand.Rand) error {
			away := between(rnd, 100*time.Millisecond, 2*time.Second)
			check()
			c.Kill()
			pause(ctx, away)
			return bringBack(ctx, c)
		}},
		{kind: "SIGSTOP " + service, target: c.Name, weight: 2 * weight, hits: []string{service}, run: func(ctx context.Context, rnd *rand.Rand) error {
			away := between(rnd, 200*time.Millisecond, 4*time.Second)
			check()
			if err := c.Signal(syscall.SIGSTOP); err != nil {
				return err
			}
			pause(ctx, away)
			return c.Signal(syscall.SIGCONT)
		}},
		{kind: "SIGTERM " + service, target: c.Name, weight: weight, hits: []string{service}, run: func(ctx context.Context, rnd *rand.Rand) error {
			away := between(rnd, 0, time.Second)
			check()
			ending, cancel := context.WithTimeout(ctx, 40*time.Second)
			defer cancel()
			if err := c.Stop(ending); err != nil {
				found.violatef(6, nil, "%v", err)
				c.Kill()
			}
			pause(ctx, away)
			return bringBack(ctx, c)
		}},
	}
}

// disturbLink is what can be done to the connections between a process and a part.
func disturbLink(p *proxy, hits ...string) []fault {
	return []fault{
		{kind: "cut connections", target: p.name, weight: 1, hits: hits, run: func(_ context.Context, _ *rand.Rand) error {
			p.cut()
			return nil
		}},
		{kind: "delay connections", target: p.name, weight: 1, hits: hits, run: func(ctx context.Context, rnd *rand.Rand) error {
			d, long := time.Duration(10+rnd.IntN(190))*time.Millisecond, time.Duration(500+rnd.IntN(2500))*time.Millisecond
			p.slow(d)
			defer p.slow(0)
			pause(ctx, long)
			return nil
		}},
		{kind: "hold connections", target: p.name, weight: 1, hits: hits, run: func(ctx context.Context, rnd *rand.Rand) error {
			long, then := time.Duration(300+rnd.IntN(3000))*time.Millisecond, rnd.IntN(2) == 0
			p.hold()
			defer p.release()
			pause(ctx, long)
			if then { // what was held is lost
				p.cut()
			}
			return nil
		}},
	}
}

// used reads what a process uses from its metrics and from the system.
func used(ctx context.Context, name string, pid int, metrics, key string) usage {
	u := usage{name: name}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if status, body := stack.Look(ctx, metrics, key); status == http.StatusOK {
		u.goroutines = int(metric(body, "go_goroutines"))
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
				kib, _ := strconv.ParseInt(fields[1], 10, 64) // 0 is told as 0
				u.resident = kib << 10
			}
		}
	}
	return u
}

// metric returns the value of a metric without labels, 0 when it is not there.
func metric(body []byte, name string) float64 {
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return v
			}
		}
	}
	return 0
}
