package check

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"sigs.k8s.io/yaml"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
)

type composed struct {
	Image       string
	ReadOnly    bool `json:"read_only"`
	User        string
	Environment map[string]string
	HealthCheck map[string]any
	DependsOn   any    `json:"depends_on"`
	StopGrace   string `json:"stop_grace_period"`
}

// compose returns the containers, with what an installation would fill in.
func compose(t *testing.T) map[string]composed {
	t.Helper()
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	required := regexp.MustCompile(`\$\{[A-Z_]+(:\?[^}]*)?\}`)
	optional := regexp.MustCompile(`\$\{[A-Z_]+:-([^}]*)\}`)
	text = optional.ReplaceAll(required.ReplaceAll(text, []byte(standIn)), []byte("$1"))
	var file struct{ Services map[string]composed }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Services
}

func TestComposeIsPinnedAndGuarded(t *testing.T) {
	t.Parallel()
	containers := compose(t)
	for name, c := range containers {
		_, tag, _ := strings.Cut(c.Image[strings.LastIndex(c.Image, "/")+1:], ":")
		if tag == "" || tag == "latest" {
			t.Errorf("%s: the image %s has no version", name, c.Image)
		}
	}
	for _, name := range []string{"nats", "postgres", "qdrant", "minio"} {
		if len(containers[name].HealthCheck) == 0 {
			t.Errorf("%s has no health check", name)
		}
	}
	for _, s := range services() {
		if c := containers[s]; !c.ReadOnly || c.User != "65532:65532" {
			t.Errorf("%s: read-only %t, user %q", s, c.ReadOnly, c.User)
		}
	}
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// A password has no default that could be left in place.
	for _, m := range regexp.MustCompile(`\$\{(?:[A-Z_]*PASSWORD|QDRANT_API_KEY|RAGBUS_BUS_SECRET)[^}]*\}`).FindAllString(string(text), -1) {
		if strings.Contains(m, ":-") {
			t.Errorf("%s has a default", m)
		}
	}
}

func TestComposeSetsWhatTheProgramsKnow(t *testing.T) {
	t.Parallel()
	containers := compose(t)
	for _, s := range services() {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			complaint := start(t, program(t, s), containers[s].Environment)
			for _, line := range strings.Split(strings.TrimSpace(complaint), "\n")[1:] {
				if !strings.Contains(line, "RAGBUS_DEPLOYCHECK") {
					t.Error(line)
				}
			}
		})
	}
}

// TestUsersOfNATSAreThoseOfTheProduct: what a service is allowed is described in one place.
func TestUsersOfNATSAreThoseOfTheProduct(t *testing.T) {
	t.Parallel()
	const path = "../compose/nats.conf"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "authorization {")
	var users strings.Builder
	for _, a := range broker.Accesses() {
		if a.Name == broker.AccessGateway {
			a = a.WithTopology() // RAGBUS_TOPOLOGY_MODE=apply
		}
		users.WriteString(a.User("$NATS_" + strings.ToUpper(a.Name) + "_PASSWORD"))
	}
	want := head + "authorization {\n  users: [\n" + indent(users.String(), "    ") + "  ]\n}\n"
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("%s is not what access.go says (go test -run NATS -update):\n%s", path, diff)
	}
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+by) + "\n"
}

// TestUsersOfNATSMayDoTheirOwnWorkOnly runs the server of compose.yaml.
func TestUsersOfNATSMayDoTheirOwnWorkOnly(t *testing.T) { //nolint:paralleltest // it sets the environment
	for _, s := range services() {
		t.Setenv("NATS_"+strings.ToUpper(s)+"_PASSWORD", "password-of-"+s)
	}
	opts, err := server.ProcessConfigFile("../compose/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.HTTPPort, opts.StoreDir, opts.NoSigs = "127.0.0.1", -1, 0, t.TempDir(), true
	srv, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	connect := func(user string) *broker.Conn {
		t.Helper()
		url := strings.Replace(srv.ClientURL(), "nats://", "nats://"+user+":password-of-"+user+"@", 1)
		conn, err := broker.Connect(t.Context(), broker.Config{URL: config.URL(url), Name: user})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.NATS().Close() })
		return conn
	}
	topology := broker.NewTopology(broker.TopologyConfig{})
	if err := broker.AccessOf("gateway").WithTopology().Check(t.Context(), connect("gateway").NATS()); err != nil {
		t.Errorf("the gateway would not start: %v", err)
	}
	if err := broker.Ensure(t.Context(), connect("gateway").JetStream(), topology); err != nil {
		t.Fatalf("the gateway may not make the streams: %v", err)
	}
	owns := map[string][]string{
		"retriever": {broker.ConsumerRetriever}, "generator": {broker.ConsumerGenerator},
		"ingestor": {broker.ConsumerIngestorExtract, broker.ConsumerIngestorEmbed, broker.ConsumerForsaken},
	}
	for user, own := range owns {
		conn := connect(user)
		// What a service asks at its start.
		if err := broker.AccessOf(user).Check(t.Context(), conn.NATS()); err != nil {
			t.Errorf("%s would not start: %v", user, err)
		}
		if err := errors.Join(conn.Ready(t.Context()), broker.Verify(t.Context(), conn.JetStream(), topology)); err != nil {
			t.Errorf("%s may not look: %v", user, err)
		}
		for _, s := range topology.Streams {
			for _, c := range s.Consumers {
				want := false
				for _, name := range own {
					want = want || name == c.Durable
				}
				if got := mayPull(t, connect(user), s.Name, c.Durable); got != want {
					t.Errorf("%s may pull from %s: %t", user, c.Durable, got)
				}
			}
		}
		if err := connect(user).JetStream().DeleteStream(t.Context(), broker.StreamDead); err == nil {
			t.Errorf("%s may delete a stream", user)
		}
	}
}

func mayPull(t *testing.T, conn *broker.Conn, stream, durable string) bool {
	t.Helper()
	c, err := conn.JetStream().Consumer(t.Context(), stream, durable)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(1, jetstream.FetchMaxWait(200*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() {
		t.Error("there is work in a new stream")
	}
	return !errors.Is(conn.NATS().LastError(), nats.ErrPermissionViolation)
}
