package storm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// The modes.
const (
	// ModeReplicas is two replicas of each service as processes over shared parts.
	ModeReplicas = "replicas"
	// ModeServe is `ragbus serve`: one process with everything in it.
	ModeServe = "serve"
)

// Config says how the storm blows.
type Config struct {
	// Seed decides what is sent and what is disturbed.
	Seed uint64
	Mode string
	// Documents and Chats are spread evenly over Duration.
	Documents, Chats int
	Duration         time.Duration
	// Tenants share the documents and the chats, under the same ids: 1 is
	// everybody without a key, more are callers with keys of their own.
	Tenants int
	// FaultEvery is the pause between the beginnings of two faults.
	FaultEvery time.Duration
	// Settle bounds how long everything may take to come to rest.
	Settle time.Duration
	// Tools is the folder of the programs; `make storm` builds them.
	Tools string
	// Out takes the table and the violations.
	Out io.Writer
}

// Validate returns what is wrong with the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	if c.Mode != ModeReplicas && c.Mode != ModeServe {
		errs = append(errs, fmt.Errorf("the mode is %q; use %s or %s", c.Mode, ModeReplicas, ModeServe))
	}
	if c.Documents < clients || c.Chats < clients {
		errs = append(errs, fmt.Errorf("documents and chats are %d and %d; use at least %d of each", c.Documents, c.Chats, clients))
	}
	if c.Duration < time.Second || c.FaultEvery < 10*time.Millisecond || c.Settle < time.Second {
		errs = append(errs, errors.New("a duration is too short"))
	}
	if c.Tenants < 1 || c.Tenants > clients {
		errs = append(errs, fmt.Errorf("tenants are %d; use 1 to %d", c.Tenants, clients))
	}
	if info, err := os.Stat(c.Tools); err != nil || !info.IsDir() {
		errs = append(errs, fmt.Errorf("there is no folder of programs at %q; `make storm` builds them", c.Tools))
	}
	return errors.Join(errs...)
}

// clients is how many write, and how many ask, at once.
const clients = 8

// storm is one run.
type storm struct {
	cfg Config
	// dir is a folder of its own, on the disk that everything is on.
	dir     string
	shape   shape
	models  *models
	found   *findings
	journal *journal
	docs    *library
	asked   *questions
	// clients are one for each tenant.
	clients []*client
	bad     []hostile
	// baseline is what each process used before the storm.
	baseline map[string]usage
	phases   []string
}

// errViolated is returned when a promise was not kept; the report says which.
var errViolated = errors.New("promises were broken")

// Run lets the storm blow, checks what is left of the promises and prints the
// report. It returns an error when one is broken, or when the storm itself failed.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ragbus-storm-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := &storm{cfg: cfg, dir: dir, found: &findings{}, journal: newJournal(), docs: newLibrary(), asked: &questions{}, baseline: map[string]usage{}}
	if s.models, err = startModels(ctx); err != nil {
		return err
	}
	defer s.models.stop()
	if s.bad, err = hostiles(); err != nil {
		return err
	}
	switch cfg.Mode {
	case ModeServe:
		s.shape = newServe(dir, cfg, s.models, s.found)
	default:
		s.shape = newReplicas(dir, cfg, s.models, s.found)
	}
	defer s.shape.stop()
	defer func() {
		for _, c := range s.clients {
			c.close()
		}
	}()
	return s.run(ctx)
}

func (s *storm) run(ctx context.Context) error {
	fmt.Fprintf(s.cfg.Out, "storm: seed %d, mode %s, %d documents and %d chats of %d tenants, %s, a fault every %s\n",
		s.cfg.Seed, s.cfg.Mode, s.cfg.Documents, s.cfg.Chats, s.cfg.Tenants, s.cfg.Duration, s.cfg.FaultEvery)
	watching, enough := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watchMachine(watching, s.dir) })
	defer watch.Wait()
	defer enough()
	for _, phase := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"start", s.shape.start},
		{"calm before the storm", s.prepare},
		{"storm", s.blow},
		{"healed", s.shape.heal},
		{"at rest", s.settle},
		{"checked", s.check},
	} {
		began := time.Now()
		err := phase.do(ctx)
		s.phases = append(s.phases, fmt.Sprintf("%s %s", phase.name, time.Since(began).Round(100*time.Millisecond)))
		fmt.Fprintf(s.cfg.Out, "storm: %s after %s\n", phase.name, time.Since(began).Round(100*time.Millisecond))
		if err != nil {
			s.report()
			return fmt.Errorf("%s, seed %d: %w", phase.name, s.cfg.Seed, err)
		}
	}
	s.report()
	if len(s.found.violations) > 0 {
		return fmt.Errorf("%d times, with seed %d: %w", len(s.found.violations), s.cfg.Seed, errViolated)
	}
	return nil
}

// stream returns a generator of its own for each purpose, all from the seed.
func (s *storm) stream(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(s.cfg.Seed, purpose)) //nolint:gosec // it must be repeatable
}

// Purposes of generators.
const (
	forFaults  = 1
	forWriters = 1000
	forAskers  = 2000
)

// prepare uploads what questions are about, asks a first one and notes what
// the processes use.
func (s *storm) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for tenant, keys := range s.shape.tenants() {
		c := newClient(tenant, keys, s.shape, s.docs, s.found)
		s.clients = append(s.clients, c)
		if err := c.prepare(ctx); err != nil {
			return err
		}
	}
	for _, u := range s.shape.usage(ctx) {
		s.baseline[u.name] = u
	}
	return nil
}

// prepare uploads what this tenant's questions are about, and asks a first one.
func (c *client) prepare(ctx context.Context) error {
	list := facts(c.tenant)
	for i, f := range list {
		id := fmt.Sprintf("fact-%d", i)
		r := c.do(ctx, 0, "POST", "/v1/documents", map[string]any{"id": id, "collection": "facts", "title": f.place, "text": f.text()})
		if !r.ok() {
			return fmt.Errorf("upload %s: %s", id, r)
		}
	}
	for i := range list {
		d, err := c.settled(ctx, 0, fmt.Sprintf("fact-%d", i))
		if err != nil || d.Status != "indexed" {
			return fmt.Errorf("fact-%d is %+v: %w", i, d, err)
		}
	}
	r := c.do(ctx, 0, "POST", "/v1/chat", map[string]any{"question": list[0].question("before"), "collections": []string{"facts"}})
	var a answer
	if !r.ok() || r.into(&a) != nil || a.Status != "completed" || !a.Grounded {
		return fmt.Errorf("the first question is answered with %s", r)
	}
	return nil
}

// blow sends the load and the faults.
func (s *storm) blow(ctx context.Context) error {
	// Who is late then finishes in calm.
	blowing, calmDown := context.WithTimeout(ctx, s.cfg.Duration)
	defer calmDown()
	var faults, load sync.WaitGroup
	faults.Go(func() { s.disturb(blowing) })
	numbers := func(n, all int) []int {
		var out []int
		for i := n; i < all; i += clients {
			out = append(out, i)
		}
		return out
	}
	// The end is bounded even when everything is slow.
	loading, cancel := context.WithTimeout(ctx, 2*s.cfg.Duration+chatPatience)
	defer cancel()
	for n := range clients {
		load.Go(func() {
			mine := numbers(n, s.cfg.Documents)
			s.clients[n%len(s.clients)].write(loading, s.stream(forWriters+uint64(n)), mine, s.cfg.Duration/time.Duration(len(mine)), s.bad)
		})
		load.Go(func() {
			mine := numbers(n, s.cfg.Chats)
			s.clients[n%len(s.clients)].converse(loading, s.stream(forAskers+uint64(n)), mine, s.cfg.Duration/time.Duration(len(mine)), s.asked)
		})
	}
	load.Wait()
	calmDown()
	faults.Wait()
	return ctx.Err()
}

// disturb begins a fault every now and then until the end, and waits for those that go on.
func (s *storm) disturb(ctx context.Context) {
	rnd := s.stream(forFaults)
	list := s.shape.faults()
	total := 0
	for _, f := range list {
		total += f.weight
	}
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		busy    = map[string]bool{}
	)
	beat := time.NewTicker(s.cfg.FaultEvery)
	defer beat.Stop()
	defer running.Wait()
	for {
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
		f := draw(list, rnd.IntN(total))
		own := rand.New(rand.NewPCG(rnd.Uint64(), 0)) //nolint:gosec // it must be repeatable
		mu.Lock()
		taken := busy[f.target]
		busy[f.target] = true
		mu.Unlock()
		if taken {
			continue
		}
		running.Go(func() {
			w := s.journal.open(f)
			// What was begun is ended, also when the storm is over.
			if err := f.run(context.WithoutCancel(ctx), own); err != nil {
				s.found.violatef(6, nil, "the fault %s of %s did not end: %v", f.kind, f.target, err)
			}
			s.journal.close(w)
			mu.Lock()
			defer mu.Unlock()
			delete(busy, f.target)
		})
	}
}

func draw(list []fault, n int) fault {
	for _, f := range list {
		if n -= f.weight; n < 0 {
			return f
		}
	}
	return list[len(list)-1]
}
