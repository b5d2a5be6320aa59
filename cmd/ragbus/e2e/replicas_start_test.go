package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

// badStart is a service that is started with something wrong.
type badStart struct {
	service string
	vars    []string
	want    []string
}

// refusedStarts starts services with what is wrong: each ends at once with
// exit code 2 and one line that names the variable, and no secret.
func refusedStarts(t *testing.T, r *replicas) {
	t.Helper()
	const wrong = "e2e-wrong-secret"
	for name, c := range badStarts(r, freeAddress(t), wrong) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := []string{"RAGBUS_PROBE_ADDR", "127.0.0.1:0", "RAGBUS_LOG_LEVEL", "error"}
			if c.service == broker.AccessGateway {
				own[0] = "RAGBUS_HTTP_ADDR"
			}
			out, errs, code := execute(t, tool(t, c.service), r.dir, nil, slices.Concat(r.settings(c.service), own, c.vars)...)
			t.Logf("%s", errs)
			if code != 2 || out != "" || strings.Count(errs, "\n") != 1 {
				t.Errorf("exit code %d, output %q, want 2 and one line of error", code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(errs, want) {
					t.Errorf("the message does not hold %q", want)
				}
			}
			for _, secret := range []string{wrong, stack.Password, stack.QdrantKey, stack.ModelKey} {
				if strings.Contains(errs, secret) {
					t.Errorf("the message holds the secret %q", secret)
				}
			}
		})
	}
	// Nothing set at all: everything that is missing, at once.
	for service, want := range map[string][]string{
		broker.AccessGateway:   {"RAGBUS_NATS_URL", "RAGBUS_DATABASE_URL", "RAGBUS_BLOB_URL"},
		broker.AccessIngestor:  {"RAGBUS_NATS_URL", "RAGBUS_DATABASE_URL", "RAGBUS_BLOB_URL", "RAGBUS_VECTOR_URL"},
		broker.AccessRetriever: {"RAGBUS_NATS_URL", "RAGBUS_DATABASE_URL", "RAGBUS_VECTOR_URL"},
		broker.AccessGenerator: {"RAGBUS_NATS_URL", "RAGBUS_DATABASE_URL"},
	} {
		_, errs, code := execute(t, tool(t, service), r.dir, nil)
		if code != 2 {
			t.Errorf("the %s without settings: exit code %d\n%s", service, code, errs)
		}
		for _, name := range want {
			if strings.Count(errs, name+":") != 1 {
				t.Errorf("the %s without settings does not name %s once:\n%s", service, name, errs)
			}
		}
	}
}

// badStarts are the ways to start wrong. Nobody listens at nobody, and wrong is a secret that opens nothing.
func badStarts(r *replicas, nobody, wrong string) map[string]badStart {
	database := func(secret, host, name string) string {
		return "postgres://" + postgrestest.Role + ":" + secret + "@" + host + "/" + name + "?sslmode=disable"
	}
	at, name := databaseOf(r.database)
	return map[string]badStart{
		"a wrong stack.Password of NATS": {
			broker.AccessGateway,
			[]string{"RAGBUS_NATS_URL", "nats://gateway:" + wrong + "@" + r.nats.Probe},
			[]string{"RAGBUS_NATS_URL", "Authorization"},
		},
		"no NATS there": {
			broker.AccessGenerator,
			[]string{"RAGBUS_NATS_URL", "nats://generator:" + stack.Password + "@" + nobody},
			[]string{"RAGBUS_NATS_URL"},
		},
		"a user of NATS without a permission": {
			broker.AccessGenerator,
			[]string{"RAGBUS_NATS_URL", r.natsURL("silenced")},
			[]string{"RAGBUS_NATS_URL", "may not", "publish to rag.answer.v1.>"},
		},
		"another service's user of NATS": {
			broker.AccessRetriever,
			[]string{"RAGBUS_NATS_URL", r.natsURL(broker.AccessGenerator)},
			[]string{"RAGBUS_NATS_URL", "lacks a permission", "rag.inbox.retriever"},
		},
		"streams of another version": {
			broker.AccessIngestor,
			[]string{"RAGBUS_ACK_WAIT", "3s"},
			[]string{"RAGBUS_TOPOLOGY_MODE", "ragbus topology apply", "ack wait is 2s, should be 3s"},
		},
		"streams that it may not make": {
			broker.AccessIngestor,
			[]string{"RAGBUS_TOPOLOGY_MODE", "apply"},
			[]string{"RAGBUS_NATS_URL", "may not publish to $JS.API.STREAM.CREATE", "ragbus topology apply", "RAGBUS_TOPOLOGY_MODE=verify"},
		},
		"a wrong stack.Password of Postgres": {
			broker.AccessGateway,
			[]string{"RAGBUS_DATABASE_URL", database(wrong, at, name)},
			[]string{"RAGBUS_DATABASE_URL", "password"},
		},
		"no such database": {
			broker.AccessRetriever,
			[]string{"RAGBUS_DATABASE_URL", strings.Replace(r.database, "/"+name+"?", "/nothing?", 1)},
			[]string{"RAGBUS_DATABASE_URL", "no such database"},
		},
		"no Postgres there": {
			broker.AccessGenerator,
			[]string{"RAGBUS_DATABASE_URL", database(wrong, nobody, name)},
			[]string{"RAGBUS_DATABASE_URL", "cannot be reached"},
		},
		"no Qdrant there": {
			broker.AccessIngestor,
			[]string{"RAGBUS_VECTOR_URL", "qdrant://" + nobody},
			[]string{"RAGBUS_VECTOR_URL"},
		},
		"a wrong key of Qdrant": {
			broker.AccessRetriever,
			[]string{"RAGBUS_QDRANT_API_KEY", wrong},
			[]string{"RAGBUS_QDRANT_API_KEY", "refuses"},
		},
		"an expired key of the model": {
			broker.AccessGenerator,
			append(r.parts(true).Settings(broker.AccessGenerator), "ANTHROPIC_API_KEY", wrong),
			[]string{"ANTHROPIC_API_KEY", "refuses the key", "expired"},
		},
		"no such object store": {
			broker.AccessGateway,
			[]string{"RAGBUS_BLOB_URL", "nats://nothing?create=false"},
			[]string{"RAGBUS_BLOB_URL", "nothing"},
		},
	}
}

// databaseOf returns the address and the name of a database.
func databaseOf(databaseURL string) (at, name string) {
	_, rest, _ := strings.Cut(databaseURL, "@")
	at, rest, _ = strings.Cut(rest, "/")
	name, _, _ = strings.Cut(rest, "?")
	return at, name
}
