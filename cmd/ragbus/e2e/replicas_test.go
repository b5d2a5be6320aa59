package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
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

// bucket is the object store of documents' bytes.
const bucket = "ragbus-documents"

const (
	adminName     = "admin"
	password      = "e2e-password"
	modelKey      = "e2e-model-key"
	qdrantKey     = "e2e-qdrant-key"
	serviceCopies = 2
)

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
				if text := c.log.String(); text != "" {
					t.Logf("the end of the log of %s:\n%s", c.name, text)
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
	must(t, os.WriteFile(conf, []byte(natsConfig(at, filepath.Join(r.dir, "nats"), users)), 0o600))
	r.nats = &child{name: "nats-server", path: tool(t, "nats-server"), args: []string{"-c", conf}, probe: at}
	at = freeAddress(t)
	r.qdrant = &child{
		name: "qdrant-standin", path: tool(t, "qdrant-standin"), args: []string{"-listen", at, "-journal", filepath.Join(r.dir, "qdrant.journal")},
		vars: []string{"QDRANT_API_KEY", qdrantKey}, probe: at,
	}
	at = freeAddress(t)
	r.model = &child{name: "modelserver", path: tool(t, "modelserver"), args: []string{"-addr", at, "-key", modelKey}, probe: "http://" + at + "/health"}
	at = freeAddress(t)
	r.embedder = &child{name: "embedserver", path: tool(t, "embedserver"), args: []string{"-addr", at, "-key", modelKey}, probe: "http://" + at + "/health"}
}

// natsConfig is what an operator writes: a user for each service with what it
// is allowed, and one that makes the streams.
func natsConfig(at, dir string, services []broker.Access) string {
	var users strings.Builder
	for _, a := range services {
		if a.Name == broker.AccessGateway || a.Name == broker.AccessIngestor {
			a = a.WithObjectStore(bucket, false)
		}
		users.WriteString(a.User(strconv.Quote(password)))
	}
	return fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\nauthorization {\n  users: [\n{ user: %q, password: %q }\n%s  ]\n}\n", at, dir, adminName, password, &users)
}

// silenced is the access of a generator whose operator forgot that it answers.
func silenced() broker.Access {
	a := broker.AccessOf(broker.AccessGenerator)
	a.Name = "silenced"
	a.Publish = slices.DeleteFunc(slices.Clone(a.Publish), func(g broker.Grant) bool { return g.Subject == broker.FramesPrefix+">" })
	return a
}

// natsURL is the broker's for one user.
func (r *replicas) natsURL(user string) string {
	return (&url.URL{Scheme: "nats", User: url.UserPassword(user, password), Host: r.nats.probe}).String()
}

// shared are the settings that describe the streams; they must be the same everywhere.
func shared() []string {
	// Questions that were accepted outlive the broker; the work of one who died is given to another soon.
	return []string{"RAGBUS_CHAT_STORAGE", "file", "RAGBUS_ACK_WAIT", "2s"}
}

// settings are those of one service, without what is its replica's own.
func (r *replicas) settings(service string) []string {
	vars := append(shared(),
		"RAGBUS_NATS_URL", r.natsURL(service), "RAGBUS_TOPOLOGY_MODE", "verify", "RAGBUS_LOG_LEVEL", "warn", "RAGBUS_LOG_FORMAT", "text",
		"RAGBUS_DATABASE_URL", r.database)
	blobs := []string{"RAGBUS_BLOB_URL", "nats://" + bucket + "?create=false"}
	vectors := []string{"RAGBUS_VECTOR_URL", "qdrant://" + r.qdrant.probe, "RAGBUS_QDRANT_API_KEY", qdrantKey}
	embedder := []string{
		"RAGBUS_EMBEDDER", "openai", "RAGBUS_EMBEDDER_DIMENSIONS", "384", "RAGBUS_OPENAI_BASE_URL", strings.TrimSuffix(r.embedder.probe, "/health") + "/v1/", "OPENAI_API_KEY", modelKey,
		"RAGBUS_LLM", "extractive",
	}
	switch service {
	case broker.AccessGateway:
		return append(vars, blobs...)
	case broker.AccessIngestor:
		return append(slices.Concat(vars, blobs, vectors, embedder[:8]), "RAGBUS_DATAREF_PREFIXES", "file://"+r.inbox, "RAGBUS_PULL_WAIT", "1s",
			"RAGBUS_INGEST_LEASE", "5s", "RAGBUS_SWEEP_INTERVAL", "1s")
	case broker.AccessRetriever:
		return append(slices.Concat(vars, vectors, embedder), "RAGBUS_PULL_WAIT", "1s")
	}
	return slices.Concat(vars, embedder)
}

// withModel are the settings of services whose answers a model writes.
func (r *replicas) withModel() []string {
	return []string{"RAGBUS_LLM", "anthropic", "ANTHROPIC_API_KEY", modelKey, "RAGBUS_ANTHROPIC_BASE_URL", strings.TrimSuffix(r.model.probe, "/health")}
}

// describeServices makes the replicas. The setting "model" of vars has a model write the answers.
func (r *replicas) describeServices(t *testing.T, vars []string) {
	t.Helper()
	for _, service := range serviceNames() {
		for n := range serviceCopies {
			at := freeAddress(t)
			own, probe := "RAGBUS_PROBE_ADDR", "http://"+at+"/readyz"
			if service == broker.AccessGateway {
				own = "RAGBUS_HTTP_ADDR"
			}
			c := &child{name: fmt.Sprintf("%s %d", service, n+1), path: tool(t, service), probe: probe, vars: append(r.settings(service), own, at)}
			if slices.Contains(vars, "model") && (service == broker.AccessGenerator || service == broker.AccessRetriever) {
				c.vars = append(c.vars, r.withModel()...)
			}
			r.services[service] = append(r.services[service], c)
		}
	}
}

// serviceNames is in the order in which services are started and, backwards, stopped.
func serviceNames() []string {
	return []string{broker.AccessIngestor, broker.AccessRetriever, broker.AccessGenerator, broker.AccessGateway}
}

func (r *replicas) children() []*child {
	out := []*child{r.nats, r.qdrant, r.model, r.embedder}
	for _, name := range serviceNames() {
		out = append(out, r.services[name]...)
	}
	return out
}

// applyTopology does what an operator does before the first start, and after
// a broker that stands alone lost its memory.
func (r *replicas) applyTopology(t *testing.T) {
	t.Helper()
	out, errs, code := execute(t, tool(t, "ragbus"), r.dir, []string{"topology", "apply"}, append(shared(), "RAGBUS_NATS_URL", r.natsURL(adminName))...)
	if code != 0 {
		t.Fatalf("ragbus topology apply: exit code %d\n%s\n%s", code, out, errs)
	}
	conn, err := broker.Connect(t.Context(), broker.Config{URL: r.natsURL(adminName)})
	must(t, err)
	defer func() { must(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err = conn.JetStream().CreateOrUpdateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: bucket})
	must(t, err)
}

// startServices starts all replicas at once: they must not be in each other's way.
func (r *replicas) startServices(t *testing.T) {
	t.Helper()
	for _, service := range serviceNames() {
		for _, c := range r.services[service] {
			c.launch(t)
		}
	}
	for _, service := range serviceNames() {
		for _, c := range r.services[service] {
			c.ready(t)
		}
	}
}

// URLs implements Shape.
func (r *replicas) URLs() []string {
	var out []string
	for _, c := range r.services[broker.AccessGateway] {
		out = append(out, strings.TrimSuffix(c.probe, "/readyz"))
	}
	return out
}

// Inbox implements Shape.
func (r *replicas) Inbox() string { return r.inbox }

// obeyed checks that no service tried what it is not allowed.
func (r *replicas) obeyed(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(r.nats.log.String()) {
		if strings.Contains(line, "Violation") {
			t.Errorf("the broker says: %s", line)
		}
	}
}

// Restart implements Shape: the services and the broker.
func (r *replicas) Restart(t *testing.T) {
	t.Helper()
	for _, service := range slices.Backward(serviceNames()) {
		for _, c := range r.services[service] {
			c.stop(t)
			if c.err != nil {
				t.Errorf("%s ended with: %v\n%s", c.name, c.err, &c.log)
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

// look asks a URL and returns what it says, 0 when nobody answers.
func look(ctx context.Context, at string) (status int, body []byte) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, nil
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// checks returns what a service's /readyz says of each part.
func (c *child) checks(t *testing.T) (status int, checks map[string]string) {
	t.Helper()
	status, body := look(t.Context(), c.probe)
	var report struct{ Checks map[string]string }
	if status != 0 {
		must(t, json.Unmarshal(body, &report))
	}
	return status, report.Checks
}
