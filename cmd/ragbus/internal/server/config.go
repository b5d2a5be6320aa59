package server

import (
	"cmp"
	"errors"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/callers"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/backing/writer"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/telemetry"
	"github.com/ragbus/ragbus/services/gateway"
	"github.com/ragbus/ragbus/services/generator"
	"github.com/ragbus/ragbus/services/ingestor"
	"github.com/ragbus/ragbus/services/retriever"
)

// Config is every setting of `ragbus serve`.
type Config struct {
	// DataDir holds everything that the embedded parts keep. One process at a time uses it.
	DataDir string `env:"RAGBUS_DATA_DIR" envDefault:"./data"`
	// NATSListen opens the embedded broker on a TCP address, for pipelines that publish events directly.
	NATSListen string `env:"RAGBUS_NATS_LISTEN"`
	// SyncAlways makes every message of the embedded broker survive a power cut, at a tenth of its speed.
	SyncAlways bool `env:"RAGBUS_NATS_SYNC_ALWAYS"`
	// APIKey is what other commands send to a server. None needs it here, but it
	// may stand in the environment of whoever starts one.
	APIKey config.Secret `env:"RAGBUS_API_KEY"`

	// What is named here is used instead of the embedded part.
	Database backing.Database
	Index    index.Config
	Blobs    backing.Blobs
	Keys     backing.Keys
	Vectors  embedder.Config
	Writer   writer.Config

	Broker    broker.Config
	Topology  broker.TopologyConfig
	Telemetry telemetry.Config
	Callers   callers.Config
	Gateway   gateway.Config
	Retriever retriever.Config
	Generator generator.Config
	Ingestor  ingestor.Config
}

// workersGrace is how long work goes on after a stop when RAGBUS_GRACE says
// nothing. It is shorter than that of a service alone: workers are stopped
// after the gateway, which has given them its own grace for whatever somebody
// waits for. The rest is handed back, and done after the next start.
const workersGrace = 5 * time.Second

func (c Config) withDefaults() Config {
	for _, grace := range []*time.Duration{&c.Generator.Grace, &c.Retriever.Grace, &c.Ingestor.Grace} {
		*grace = cmp.Or(*grace, workersGrace)
	}
	return c
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	var problems []error
	for _, err := range []error{c.Vectors.Check(c.Keys), c.Writer.Check(c.Keys)} {
		if err != nil {
			problems = append(problems, err)
		}
	}
	if strings.TrimSpace(c.DataDir) == "" {
		problems = append(problems, errors.New("RAGBUS_DATA_DIR: empty"))
	}
	// An embedded broker that nobody else reaches, or a secret kept beside it.
	if err := c.Callers.Check(c.Gateway.Auth, c.Broker.URL != ""); err != nil {
		problems = append(problems, err)
	}
	if c.Broker.URL != "" && c.NATSListen != "" {
		problems = append(problems, errors.New("RAGBUS_NATS_LISTEN: there is no embedded broker to open when RAGBUS_NATS_URL is set"))
	}
	return errors.Join(problems...)
}

// Settings returns the effective settings for people, with the problems that
// keep a server from starting on them.
func Settings(vars config.Vars) ([]config.Setting, error) {
	_, err := config.Load[Config](vars)
	return config.Describe[Config](vars), err
}
