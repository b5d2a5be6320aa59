package access

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/recent"
)

const (
	// MaxKeyAge is how old what a [Keyring] knows of a key may be when it is
	// used: a revocation is seen within this time everywhere.
	MaxKeyAge = 5 * time.Second
	// refreshAge is when it is looked up again, though it would do while the record is away.
	refreshAge = 4 * time.Second
	// refreshWait is how long a caller waits for that while what is known would do.
	refreshWait = 250 * time.Millisecond
	// lookupTimeout bounds one question to the record.
	lookupTimeout = 2 * time.Second
	// knownKeys is how many keys are remembered at least, known and unknown ones together.
	knownKeys = 8192
	// useEvery is how often times of last use are recorded.
	useEvery = time.Minute
	// useTimeout bounds that, also at the end.
	useTimeout = 5 * time.Second
)

// Keyring is the [Authenticator] of API keys. It remembers what the record
// says for a few seconds, also that there is no such key. While the record is
// away, keys that were looked up within [MaxKeyAge] go on; then nobody is
// known, which is Unavailable and not a refusal.
//
// [Keyring.Run] records when keys were last used; without it nothing is recorded.
type Keyring struct {
	keys Keys
	log  *slog.Logger
	now  func() time.Time

	cache   *recent.Cache[string, lookup]
	lookups singleflight.Group

	mu   sync.Mutex
	used map[string]time.Time
}

// lookup is what the record said of an id.
type lookup struct {
	// at is when it was asked, not when it answered: what happened in between may be missing.
	at     time.Time
	known  bool
	key    Key
	digest Digest
}

var _ Authenticator = (*Keyring)(nil)

// NewKeyring returns a Keyring on a record. Log may be nil; now is the clock,
// nil for the system's.
func NewKeyring(keys Keys, log *slog.Logger, now func() time.Time) *Keyring {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	return &Keyring{
		keys: keys, log: log, now: now, used: make(map[string]time.Time),
		cache: recent.New(knownKeys, func(string, lookup) int { return 1 }),
	}
}

// Authenticate implements [Authenticator].
func (r *Keyring) Authenticate(ctx context.Context, bearer string) (Identity, error) {
	id, secret, ok := splitBearer(bearer)
	if !ok {
		return Identity{}, Unauthenticated(nil)
	}
	found, err := r.find(ctx, id)
	if err != nil {
		return Identity{}, err
	}
	// Compared also when there is no such key, whose digest is no secret's.
	if !found.digest.is(digestOf(secret)) || !found.known {
		return Identity{}, Unauthenticated(nil)
	}
	now := r.now()
	if err := found.key.usable(now); err != nil {
		return Identity{}, err
	}
	r.use(id, now)
	return found.key.identity(), nil
}

// find returns what the record says of an id, or said a moment ago.
func (r *Keyring) find(ctx context.Context, id string) (lookup, error) {
	known, ok := r.cache.Get(id)
	age := r.now().Sub(known.at)
	if ok && age < refreshAge {
		return known, nil
	}
	answer := r.lookups.DoChan(id, func() (any, error) {
		// For all who wait for it, of whom the first may leave.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupTimeout)
		defer cancel()
		return r.ask(ctx, id)
	})
	var enough <-chan time.Time
	if ok && age < MaxKeyAge {
		wait := time.NewTimer(min(refreshWait, MaxKeyAge-age))
		defer wait.Stop()
		enough = wait.C
	}
	select {
	case <-ctx.Done():
		return lookup{}, Unavailable(context.Cause(ctx))
	case <-enough:
		return known, nil
	case a := <-answer:
		if a.Err == nil {
			return a.Val.(lookup), nil //nolint:forcetypeassert // of this function's ask
		}
		if enough != nil {
			return known, nil
		}
		return lookup{}, Unavailable(a.Err)
	}
}

func (r *Keyring) ask(ctx context.Context, id string) (lookup, error) {
	l := lookup{at: r.now()}
	var err error
	l.key, l.digest, err = r.keys.Find(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		l.key, l.digest = Key{}, Digest{}
	case err != nil:
		return l, fmt.Errorf("look up key %s: %w", id, err)
	default:
		l.known = true
	}
	r.cache.Put(id, l)
	return l, nil
}

func (r *Keyring) use(id string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.used[id]; ok || len(r.used) < knownKeys {
		r.used[id] = now
	}
}

// Run records every minute, and at its end, when keys were last used. It
// returns when ctx ends.
func (r *Keyring) Run(ctx context.Context) error {
	tick := time.NewTicker(useEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.record(ctx)
		case <-ctx.Done():
			r.record(context.WithoutCancel(ctx))
			return nil
		}
	}
}

func (r *Keyring) record(ctx context.Context) {
	r.mu.Lock()
	used := r.used
	r.used = make(map[string]time.Time, len(used))
	r.mu.Unlock()
	if len(used) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, useTimeout)
	defer cancel()
	err := r.keys.Used(ctx, used)
	if err == nil {
		return
	}
	r.log.WarnContext(ctx, "when keys were last used could not be recorded", "keys", len(used), "error", err)
	// Kept for the next time, unless there is something newer.
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(used, r.used)
	r.used = used
}
