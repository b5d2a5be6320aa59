package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

// replicas is every service twice, each a process of its own behind proxies
// of its own, over Postgres, nats-server and Qdrant's stand-in as processes
// and emulators of the models.
type replicas struct {
	dir    string
	cfg    Config
	keys   []keys
	admin  string
	models *models
	found  *findings

	postgres  *postgrestest.Server
	superuser string
	database  string
	nats      *stack.Child
	qdrant    *stack.Child
	units     []*unit
	bus       *bus
}

// unit is one replica of a service.
type unit struct {
	*stack.Child

	service string
	links   []*proxy
}

const copies = 2

func newReplicas(dir string, cfg Config, m *models, found *findings) *replicas {
	return &replicas{dir: dir, cfg: cfg, models: m, found: found, postgres: &postgrestest.Server{}}
}

func (r *replicas) tool(name string) string { return filepath.Join(r.cfg.Tools, name) }

func (r *replicas) start(ctx context.Context) error {
	var err error
	if r.database, r.superuser, err = r.postgres.Open(ctx); err != nil {
		return fmt.Errorf("start Postgres: %w", err)
	}
	if err := r.startParts(ctx); err != nil {
		return err
	}
	if r.keys, r.admin, err = issue(ctx, r.tool("ragbus"), r.dir, r.cfg.Tenants, "RAGBUS_DATABASE_URL", r.database); err != nil {
		return err
	}
	if err := r.describe(ctx); err != nil {
		return err
	}
	var all sync.WaitGroup
	errs := make([]error, len(r.units))
	for i, u := range r.units {
		all.Go(func() { errs[i] = begin(ctx, u.Child) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (r *replicas) startParts(ctx context.Context) error {
	at, err := stack.FreeAddress(ctx)
	if err != nil {
		return err
	}
	conf := filepath.Join(r.dir, "nats.conf")
	if err := os.WriteFile(conf, []byte(stack.NATSConfig(at, filepath.Join(r.dir, "nats"), broker.Accesses())), 0o600); err != nil {
		return fmt.Errorf("configure the broker: %w", err)
	}
	r.nats = &stack.Child{Name: "nats-server", Path: r.tool("nats-server"), Args: []string{"-c", conf}, Probe: at}
	if at, err = stack.FreeAddress(ctx); err != nil {
		return err
	}
	r.qdrant = &stack.Child{
		Name: "qdrant", Path: r.tool("qdrant-standin"), Args: []string{"-listen", at, "-journal", filepath.Join(r.dir, "qdrant.journal")},
		Vars: []string{"QDRANT_API_KEY", stack.QdrantKey}, Probe: at,
	}
	if err := errors.Join(bringBack(ctx, r.nats), bringBack(ctx, r.qdrant)); err != nil {
		return err
	}
	if r.bus, err = openBus(stack.NATSURL(r.nats.Probe, stack.AdminName), r.cfg.Seed, r.found); err != nil {
		return err
	}
	return r.applyTopology(ctx)
}

// applyTopology does what an operator does before the first start, and after
// a broker that stands alone lost its memory.
func (r *replicas) applyTopology(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := broker.Ensure(ctx, r.bus.js, broker.NewTopology(broker.TopologyConfig{ChatStorage: broker.File, AckWait: 2 * time.Second}))
		if err == nil {
			_, err = r.bus.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: stack.Bucket})
		}
		if err == nil {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return fmt.Errorf("apply the topology: %w", err)
		}
	}
}

// describe makes the replicas and the proxies between them and the parts.
func (r *replicas) describe(ctx context.Context) error {
	database, err := url.Parse(r.database)
	if err != nil {
		return fmt.Errorf("read the database's address: %w", err)
	}
	for _, service := range stack.Services() {
		for n := range copies {
			u := &unit{service: service}
			name := fmt.Sprintf("%s %d", service, n+1)
			through := func(part, target string) string {
				if err != nil {
					return ""
				}
				var p *proxy
				if p, err = newProxy(ctx, name+" ↔ "+part, target); err != nil {
					return ""
				}
				u.links = append(u.links, p)
				return p.address()
			}
			behind := *database
			behind.Host = through(hitDatabase, database.Host)
			parts := stack.Parts{
				NATS: through(hitBroker, r.nats.Probe), Database: behind.String(), Inbox: r.dir, Written: true,
				Qdrant: r.qdrant.Probe, Model: r.models.writerAt, Embedder: r.models.embedderAt,
			}
			if service == broker.AccessIngestor || service == broker.AccessRetriever {
				parts.Qdrant, parts.Embedder = through(hitIndex, r.qdrant.Probe), through(hitEmbedder, r.models.embedderAt)
			}
			if service == broker.AccessGenerator {
				parts.Model = through(hitModel, r.models.writerAt)
			}
			at, addressErr := stack.FreeAddress(ctx)
			if err := errors.Join(err, addressErr); err != nil {
				return err
			}
			u.Child = &stack.Child{
				Name: name, Path: r.tool(service), Probe: "http://" + at + "/readyz", Vars: append(parts.Settings(service), stack.OwnAddress(service), at),
			}
			if r.cfg.Tenants > 1 && service != broker.AccessIngestor {
				u.Vars = append(u.Vars, "RAGBUS_BUS_SECRET", busSecret)
				if service == broker.AccessGateway {
					u.Vars = append(u.Vars, "RAGBUS_AUTH", "keys")
				}
			}
			r.units = append(r.units, u)
		}
	}
	return nil
}

func (r *replicas) tenants() []keys { return r.keys }

func (r *replicas) among() int { return r.cfg.Tenants }

func (r *replicas) gateways() []string {
	var out []string
	for _, u := range r.units {
		if u.service == broker.AccessGateway {
			out = append(out, strings.TrimSuffix(u.Probe, "/readyz"))
		}
	}
	return out
}

func (r *replicas) faults() []fault {
	var out []fault
	for _, u := range r.units {
		out = append(out, disturb(r.found, u.Child, u.service, 2)...)
		for _, p := range u.links {
			_, part, _ := strings.Cut(p.name, " ↔ ")
			// Of what a service does, all may be disturbed by any of its connections.
			out = append(out, disturbLink(p, u.service, part)...)
		}
	}
	out = append(out, r.bus.faults()...)
	out = append(out, r.models.faults()...)
	return append(out,
		fault{kind: "SIGKILL nats-server", target: "broker", weight: 4, hits: []string{hitBroker}, run: r.restartNATS(true)},
		fault{kind: "SIGTERM nats-server", target: "broker", weight: 3, hits: []string{hitBroker}, run: r.restartNATS(false)},
		fault{kind: "crash of Postgres", target: "database", weight: 6, hits: []string{hitDatabase}, run: r.restartPostgres},
		fault{kind: "SIGKILL qdrant", target: "index", weight: 4, hits: []string{hitIndex}, run: func(ctx context.Context, rnd *rand.Rand) error {
			away := time.Duration(rnd.IntN(2000)) * time.Millisecond
			r.qdrant.Kill()
			pause(ctx, away)
			return bringBack(ctx, r.qdrant)
		}},
	)
}

func (r *replicas) restartNATS(kill bool) func(context.Context, *rand.Rand) error {
	return func(ctx context.Context, rnd *rand.Rand) error {
		away := time.Duration(rnd.IntN(2000)) * time.Millisecond
		if kill {
			r.nats.Kill()
		} else {
			stopping, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			if err := r.nats.Stop(stopping); err != nil {
				return err
			}
		}
		pause(ctx, away)
		if err := bringBack(ctx, r.nats); err != nil {
			return err
		}
		return r.applyTopology(ctx)
	}
}

func (r *replicas) restartPostgres(ctx context.Context, rnd *rand.Rand) error {
	away := time.Duration(rnd.IntN(2000)) * time.Millisecond
	if err := r.postgres.Halt(ctx); err != nil {
		return errors.Join(err, r.resumePostgres(ctx))
	}
	pause(ctx, away)
	return r.resumePostgres(ctx)
}

// resumePostgres starts the database again, as often as it takes: what was
// its port may for a moment be that of somebody's outgoing connection.
func (r *replicas) resumePostgres(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bringBackTime)
	defer cancel()
	for {
		err := r.postgres.Resume(ctx)
		if err == nil {
			return nil
		}
		if !pause(ctx, 500*time.Millisecond) {
			return err
		}
	}
}

func (r *replicas) heal(ctx context.Context) error {
	if err := r.models.heal(); err != nil {
		return err
	}
	errs := []error{bringBack(ctx, r.nats), bringBack(ctx, r.qdrant), r.applyTopology(ctx)}
	for _, u := range r.units {
		for _, p := range u.links {
			p.slow(0)
			p.release()
		}
		if text := ended(u.Child); text != "" {
			r.found.violatef(6, nil, "%s", text)
		}
	}
	for _, u := range r.units {
		errs = append(errs, bringBack(ctx, u.Child))
	}
	return errors.Join(errs...)
}

func (r *replicas) usage(ctx context.Context) []usage {
	var out []usage
	for _, u := range r.units {
		out = append(out, used(ctx, u.Name, u.PID(), strings.TrimSuffix(u.Probe, "/readyz")+"/metrics", r.admin))
	}
	return out
}

// complaints are what the broker says of services that try what they are not
// allowed. An answer to a request that came over a connection which was cut
// is none: it is allowed to be given over that connection only.
func (r *replicas) complaints() []string {
	var out []string
	for line := range strings.Lines(r.nats.Log.String()) {
		if strings.Contains(line, "Violation") && !strings.Contains(line, `Publish Violation - Subject "`+broker.InboxPrefix+".") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return slices.Compact(out)
}

func (r *replicas) said(word string) []string {
	var lines []string
	for _, u := range r.units {
		if u.Child != nil {
			lines = append(lines, u.Log.Lines(word)...)
		}
	}
	return lines
}

func (r *replicas) injected() map[string]bool { return r.bus.injected() }

func (r *replicas) stop() {
	for _, u := range slices.Backward(r.units) {
		u.Kill()
		for _, p := range u.links {
			p.close()
		}
	}
	if r.bus != nil {
		r.bus.close()
	}
	for _, c := range []*stack.Child{r.nats, r.qdrant} {
		if c != nil {
			c.Kill()
		}
	}
	r.postgres.Stop()
}
