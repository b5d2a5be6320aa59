package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

// replicas is every service twice, each a process of its own, and the parts
// that they share, each a process too.
type replicas struct {
	dir   string
	inbox string

	postgres *postgrestest.Server
	database string
	nats     *child
	qdrant   *child
	model    *child
	embedder *child
	services map[string][]*child
}

const serviceCopies = 2

// startReplicas starts everything and ends it with the test.
func startReplicas(t *testing.T, vars ...string) *replicas {
	t.Helper()
	needTools(t)
	r := &replicas{dir: t.TempDir(), postgres: &postgrestest.Server{}, services: map[string][]*child{}}
	t.Cleanup(r.postgres.Stop)
	r.database = r.postgres.Database(t)
	r.inbox = filepath.Join(r.dir, "inbox")
	must(t, os.Mkdir(r.inbox, 0o700))
	r.describeParts(t)
	r.describeServices(t, vars)
	t.Cleanup(func() {
		all := r.children()
		for _, c := range slices.Backward(all) {
			c.kill()
		}
		if t.Failed() {
			for _, c := range all {
				if text := c.Log.String(); text != "" {
					t.Logf("the end of the log of %s:\n%s", c.Name, text)
				}
			}
		}
	})
	for _, c := range []*child{r.nats, r.qdrant, r.model, r.embedder} {
		c.launch(t)
	}
	for _, c := range []*child{r.nats, r.qdrant, r.model, r.embedder} {
		c.ready(t)
	}
	r.applyTopology(t)
	r.startServices(t)
	return r
}

func (r *replicas) describeParts(t *testing.T) {
	t.Helper()
	at := freeAddress(t)
	conf := filepath.Join(r.dir, "nats.conf")
	users := append(broker.Accesses(), silenced())
	must(t, os.WriteFile(conf, []byte(stack.NATSConfig(at, filepath.Join(r.dir, "nats"), users)), 0o600))
	r.nats = &child{&stack.Child{Name: "nats-server", Path: tool(t, "nats-server"), Args: []string{"-c", conf}, Probe: at}}
	at = freeAddress(t)
	r.qdrant = &child{&stack.Child{
		Name: "qdrant-standin", Path: tool(t, "qdrant-standin"), Args: []string{"-listen", at, "-journal", filepath.Join(r.dir, "qdrant.journal")},
		Vars: []string{"QDRANT_API_KEY", stack.QdrantKey}, Probe: at,
	}}
	at = freeAddress(t)
	r.model = &child{&stack.Child{Name: "modelserver", Path: tool(t, "modelserver"), Args: []string{"-addr", at, "-key", stack.ModelKey}, Probe: "http://" + at + "/health"}}
	at = freeAddress(t)
	r.embedder = &child{&stack.Child{Name: "embedserver", Path: tool(t, "embedserver"), Args: []string{"-addr", at, "-key", stack.ModelKey}, Probe: "http://" + at + "/health"}}
}

// silenced is the access of a generator whose operator forgot that it answers.
func silenced() broker.Access {
	a := broker.AccessOf(broker.AccessGenerator)
	a.Name = "silenced"
	a.Publish = slices.DeleteFunc(slices.Clone(a.Publish), func(g broker.Grant) bool { return g.Subject == broker.FramesPrefix+">" })
	return a
}

// natsURL is the broker's for one user.
func (r *replicas) natsURL(user string) string { return stack.NATSURL(r.nats.Probe, user) }

// parts are where services find what they share.
func (r *replicas) parts(written bool) stack.Parts {
	at := func(c *child) string { return strings.TrimSuffix(strings.TrimPrefix(c.Probe, "http://"), "/health") }
	return stack.Parts{
		NATS: r.nats.Probe, Database: r.database, Qdrant: r.qdrant.Probe, Model: at(r.model), Embedder: at(r.embedder), Inbox: r.inbox, Written: written,
	}
}

// settings are those of one service, without what is its replica's own.
func (r *replicas) settings(service string) []string { return r.parts(false).Settings(service) }

// describeServices makes the replicas. The setting "model" of vars has a model write the answers.
func (r *replicas) describeServices(t *testing.T, vars []string) {
	t.Helper()
	for _, service := range stack.Services() {
		for n := range serviceCopies {
			at := freeAddress(t)
			settings := r.parts(slices.Contains(vars, "model")).Settings(service)
			c := &child{&stack.Child{Name: fmt.Sprintf("%s %d", service, n+1), Path: tool(t, service), Probe: "http://" + at + "/readyz", Vars: append(settings, stack.OwnAddress(service), at)}}
			r.services[service] = append(r.services[service], c)
		}
	}
}

func (r *replicas) children() []*child {
	out := []*child{r.nats, r.qdrant, r.model, r.embedder}
	for _, name := range stack.Services() {
		out = append(out, r.services[name]...)
	}
	return out
}

// applyTopology does what an operator does before the first start, and after
// a broker that stands alone lost its memory.
func (r *replicas) applyTopology(t *testing.T) {
	t.Helper()
	out, errs, code := execute(t, tool(t, "ragbus"), r.dir, []string{"topology", "apply"}, append(stack.Topology(), "RAGBUS_NATS_URL", r.natsURL(stack.AdminName))...)
	if code != 0 {
		t.Fatalf("ragbus topology apply: exit code %d\n%s\n%s", code, out, errs)
	}
	conn, err := broker.Connect(t.Context(), broker.Config{URL: config.URL(r.natsURL(stack.AdminName))})
	must(t, err)
	defer func() { must(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err = conn.JetStream().CreateOrUpdateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: stack.Bucket})
	must(t, err)
}

// startServices starts all replicas at once: they must not be in each other's way.
func (r *replicas) startServices(t *testing.T) {
	t.Helper()
	for _, service := range stack.Services() {
		for _, c := range r.services[service] {
			c.launch(t)
		}
	}
	for _, service := range stack.Services() {
		for _, c := range r.services[service] {
			c.ready(t)
		}
	}
}

// URLs implements Shape.
func (r *replicas) URLs() []string {
	var out []string
	for _, c := range r.services[broker.AccessGateway] {
		out = append(out, strings.TrimSuffix(c.Probe, "/readyz"))
	}
	return out
}

// Inbox implements Shape.
func (r *replicas) Inbox() string { return r.inbox }

// obeyed checks that no service tried what it is not allowed.
func (r *replicas) obeyed(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(r.nats.Log.String()) {
		if strings.Contains(line, "Violation") {
			t.Errorf("the broker says: %s", line)
		}
	}
}

// Restart implements Shape: the services and the broker.
func (r *replicas) Restart(t *testing.T) {
	t.Helper()
	for _, service := range slices.Backward(stack.Services()) {
		for _, c := range r.services[service] {
			c.stop(t)
			if err := c.Err(); err != nil {
				t.Errorf("%s ended with: %v\n%s", c.Name, err, &c.Log)
			}
		}
	}
	r.restartParts(t, r.nats, r.qdrant)
	r.startServices(t)
}

// restartParts stops parts and starts them again.
func (r *replicas) restartParts(t *testing.T, parts ...*child) {
	t.Helper()
	for _, c := range parts {
		c.stop(t)
		r.bringBack(t, c)
	}
}

// bringBack starts a part that was stopped, and does what its operator does then.
func (r *replicas) bringBack(t *testing.T, c *child) {
	t.Helper()
	c.launch(t)
	c.ready(t)
	if c == r.nats {
		r.applyTopology(t)
	}
}

// checks returns what a service's /readyz says of each part.
func (c *child) checks(t *testing.T) (status int, checks map[string]string) {
	t.Helper()
	status, body := stack.Look(t.Context(), c.Probe, "")
	var report struct{ Checks map[string]string }
	if status != 0 {
		must(t, json.Unmarshal(body, &report))
	}
	return status, report.Checks
}
