package storm

import (
	"context"
	"database/sql"
	"math/rand/v2"

	"github.com/nats-io/nats.go/jetstream"
)

// shape is a way to run Ragbus that can be disturbed.
type shape interface {
	// start starts everything and waits until it is ready.
	start(ctx context.Context) error
	// gateways returns the base URLs of the API.
	gateways() []string
	// tenants returns the keys of each tenant's callers, once it is started.
	tenants() []keys
	// among returns how many tenants there are.
	among() int
	// faults returns what can be done to it.
	faults() []fault
	// heal ends every disturbance and waits until everything is ready again.
	heal(ctx context.Context) error
	// stores opens what is behind it.
	stores(ctx context.Context) (*stores, error)
	// usage returns what each process uses.
	usage(ctx context.Context) []usage
	// injected returns the bodies of undecodable messages that were sent; false
	// for one that may not have arrived.
	injected() map[string]bool
	// said returns the lines with a word in the latest logs of what answers requests.
	said(word string) []string
	// complaints returns what parts say of processes that did what they must not.
	complaints() []string
	// stop ends everything.
	stop()
}

// fault is a disturbance. Its run draws what is open from the generator
// before it does anything, and returns when the disturbance is over.
type fault struct {
	kind   string
	target string
	weight int
	// hits are the parts whose work it can disturb, strokes how often it does
	// so at most; 0 means once.
	hits    []string
	strokes int
	run     func(ctx context.Context, rnd *rand.Rand) error
}

// keys are those of one tenant's callers, "" where nobody needs one.
type keys struct{ member, insider string }

// othersOnly is the principal that members are not and insiders are.
const othersOnly = "group:others"

// stores are what is behind a shape, for looking.
type stores struct {
	db *sql.DB
	js jetstream.JetStream
	// points returns every chunk in the index.
	points func(ctx context.Context) ([]point, error)
	// blobs returns the keys of all blobs.
	blobs func(ctx context.Context) (map[string]bool, error)
	close func()
}

// point is a chunk in the index.
type point struct {
	// document is the tenant and the id.
	document, version string
	ordinal           int
}

// usage is what a process uses.
type usage struct {
	name       string
	goroutines int
	resident   int64
}

// The parts that faults hit.
const (
	hitBroker     = "broker"
	hitDatabase   = "database"
	hitIndex      = "index"
	hitModel      = "model"
	hitEmbedder   = "embedder"
	hitDuplicates = "duplicates"
	hitEverything = "everything"
)
