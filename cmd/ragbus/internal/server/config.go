package server

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/callers"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/backing/index"
	"github.com/ragbus/ragbus/pkg/backing/writer"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/natsserver"
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
	if c.Ingestor.Alone = c.Broker.URL == ""; c.Ingestor.Alone && c.Ingestor.TenantWindow == 0 {
		c.Gateway.TenantWindow = c.Ingestor.AloneWindow()
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
	switch {
	case c.NATSListen == "":
	case c.Broker.URL != "":
		problems = append(problems, errors.New("RAGBUS_NATS_LISTEN: there is no embedded broker to open when RAGBUS_NATS_URL is set"))
	default:
		if err := (natsserver.Config{Listen: c.NATSListen}).Validate(); err != nil {
			problems = append(problems, fmt.Errorf("RAGBUS_NATS_LISTEN: %w", err))
		}
	}
	return errors.Join(problems...)
}

// serveConfig is what `ragbus serve` asks of its settings beyond what the
// operator's commands do.
type serveConfig struct {
	Config Config
}

// Validate implements config.Validator.
func (s serveConfig) Validate() error {
	var problems []error
	if cloud(s.Config.Blobs.URL.Reveal()) {
		problems = append(problems, errors.New("RAGBUS_BLOB_URL: `ragbus serve` has no client for the object stores of clouds, the services' programs have; use file:///directory or nats://bucket"))
	}
	if s.Config.Broker.URL == "" && s.Config.Broker.Creds != "" {
		problems = append(problems, errors.New("RAGBUS_NATS_CREDS: the embedded broker asks for none; leave it out, or name a server in RAGBUS_NATS_URL"))
	}
	if s.Config.Broker.URL == "" && s.Config.Topology.Replicas > 1 {
		problems = append(problems, errors.New("RAGBUS_STREAM_REPLICAS: the embedded broker is one server; leave it out, or name a cluster in RAGBUS_NATS_URL"))
	}
	return errors.Join(problems...)
}

// toolConfig is what the operator's commands read: they are given the settings
// of the server, or those of any service that runs alone.
type toolConfig struct {
	Config Config
	Alone  alone
}

// alone is what only services that run alone have.
type alone struct {
	TopologyMode string `env:"RAGBUS_TOPOLOGY_MODE,TOPOLOGY_MODE" envDefault:"apply"`
	ProbeAddr    string `env:"RAGBUS_PROBE_ADDR"`
}

// Settings returns the effective settings for people, with the problems that
// keep a server, or a service alone, from starting on them. Terminal says
// whether a person would read the log.
func Settings(vars config.Vars, terminal bool) ([]config.Setting, error) {
	_, err := config.Load[toolConfig](vars)
	return config.Describe(vars, func(o *toolConfig) { o.Config = o.Config.effective(terminal) }), err
}

// effective fills in what other settings, or where the process runs, decide.
func (c Config) effective(terminal bool) Config {
	c = c.withDefaults()
	c.Gateway.Addr = c.Gateway.ListenAddr()
	c.Writer = c.Writer.Effective(c.Keys)
	c.Vectors = c.Vectors.Effective(c.Keys)
	c.Telemetry.LogFormat = c.Telemetry.Format(terminal)
	return c
}
