package stack

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/broker"
)

// Bucket is the object store of documents' bytes, in the broker.
const Bucket = "ragbus-documents"

// Secrets of what runs on the loopback of one test.
const (
	AdminName = "admin"
	Password  = "e2e-password"
	ModelKey  = "e2e-model-key"
	QdrantKey = "e2e-qdrant-key"
)

// Services is in the order in which services are started and, backwards, stopped.
func Services() []string {
	return []string{broker.AccessIngestor, broker.AccessRetriever, broker.AccessGenerator, broker.AccessGateway}
}

// NATSConfig is what an operator writes: a user for each service with what it
// is allowed, and one that makes the streams.
func NATSConfig(listen, dir string, services []broker.Access) string {
	var users strings.Builder
	for _, a := range services {
		if a.Name == broker.AccessGateway || a.Name == broker.AccessIngestor {
			a = a.WithObjectStore(Bucket, false)
		}
		users.WriteString(a.User(strconv.Quote(Password)))
	}
	return fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\nauthorization {\n  users: [\n{ user: %q, password: %q }\n%s  ]\n}\n",
		listen, dir, AdminName, Password, &users)
}

// NATSURL is the broker's for one user.
func NATSURL(address, user string) string {
	return (&url.URL{Scheme: "nats", User: url.UserPassword(user, Password), Host: address}).String()
}

// Topology are the settings that describe the streams; they must be the same everywhere.
func Topology() []string {
	// Questions that were accepted outlive the broker; the work of one who died is given to another soon.
	return []string{"RAGBUS_CHAT_STORAGE", "file", "RAGBUS_ACK_WAIT", "2s"}
}

// Parts are where a service finds what all services share.
type Parts struct {
	// NATS, Qdrant, Model and Embedder are addresses, host:port.
	NATS, Qdrant, Model, Embedder string
	// Database is a URL.
	Database string
	// Inbox is the folder that events may point into.
	Inbox string
	// Written says that a model writes the answers.
	Written bool
}

// Settings are those of one service, without what is its replica's own.
func (p Parts) Settings(service string) []string {
	vars := append(Topology(),
		"RAGBUS_NATS_URL", NATSURL(p.NATS, service), "RAGBUS_TOPOLOGY_MODE", "verify", "RAGBUS_LOG_LEVEL", "warn", "RAGBUS_LOG_FORMAT", "text",
		"RAGBUS_DATABASE_URL", p.Database)
	blobs := []string{"RAGBUS_BLOB_URL", "nats://" + Bucket + "?create=false"}
	vectors := []string{"RAGBUS_VECTOR_URL", "qdrant://" + p.Qdrant, "RAGBUS_QDRANT_API_KEY", QdrantKey}
	embedder := []string{"RAGBUS_EMBEDDER", "openai", "RAGBUS_EMBEDDER_DIMENSIONS", "384", "RAGBUS_OPENAI_BASE_URL", "http://" + p.Embedder + "/v1/", "OPENAI_API_KEY", ModelKey}
	writer := []string{"RAGBUS_LLM", "extractive"}
	if p.Written {
		writer = []string{"RAGBUS_LLM", "anthropic", "ANTHROPIC_API_KEY", ModelKey, "RAGBUS_ANTHROPIC_BASE_URL", "http://" + p.Model}
	}
	switch service {
	case broker.AccessGateway:
		return append(vars, blobs...)
	case broker.AccessIngestor:
		return append(slices.Concat(vars, blobs, vectors, embedder), "RAGBUS_DATAREF_PREFIXES", "file://"+p.Inbox, "RAGBUS_PULL_WAIT", "1s",
			"RAGBUS_INGEST_LEASE", "5s", "RAGBUS_SWEEP_INTERVAL", "1s")
	case broker.AccessRetriever:
		return append(slices.Concat(vars, vectors, embedder, writer), "RAGBUS_PULL_WAIT", "1s")
	}
	return slices.Concat(vars, embedder, writer)
}

// OwnAddress is the setting by which a service is told where to listen.
func OwnAddress(service string) string {
	if service == broker.AccessGateway {
		return "RAGBUS_HTTP_ADDR"
	}
	return "RAGBUS_PROBE_ADDR"
}
