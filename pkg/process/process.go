// Package process is what surrounds a service that runs alone: settings from
// the environment, logs, the broker, probes, signals and exit codes. The
// services themselves know nothing of it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/outbound"
	"github.com/ragbus/ragbus/pkg/telemetry"
	"github.com/ragbus/ragbus/pkg/worker"
)

// The ways a process treats streams and consumers.
const (
	// TopologyApply makes and updates them, also after the broker lost them.
	TopologyApply = "apply"
	// TopologyVerify refuses to start when they differ, for brokers where
	// another owner makes them or this process has no permission to.
	TopologyVerify = "verify"
	// TopologyTrust does not look.
	TopologyTrust = "trust"
)

// Config is the part of the settings that every service has.
type Config struct {
	Broker    broker.Config
	Topology  broker.TopologyConfig
	Telemetry telemetry.Config
	// TopologyMode is apply, verify or trust.
	TopologyMode string `env:"RAGBUS_TOPOLOGY_MODE,TOPOLOGY_MODE" envDefault:"apply"`
}

// Probes is the part of the settings that workers have: where they answer
// /livez, /readyz, /metrics and /version.
type Probes struct {
	Addr string `env:"RAGBUS_PROBE_ADDR" envDefault:":9090"`
}

// Validate implements config.Validator.
func (c Probes) Validate() error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("RAGBUS_PROBE_ADDR: %q is not host:port", c.Addr)
	}
	return nil
}

// Validate implements config.Validator.
func (c Config) Validate() error {
	var problems []error
	if strings.TrimSpace(c.Broker.URL.Reveal()) == "" {
		problems = append(problems, errors.New("RAGBUS_NATS_URL: missing; a service that runs alone needs a broker, e.g. nats://nats:4222"))
	}
	if !slices.Contains([]string{TopologyApply, TopologyVerify, TopologyTrust}, c.TopologyMode) {
		problems = append(problems, fmt.Errorf("RAGBUS_TOPOLOGY_MODE: %q is not known; use apply, verify or trust", c.TopologyMode))
	}
	return errors.Join(problems...)
}

// Process is what a service gets from its surroundings. Make one with [Open],
// call Run once, then Close.
type Process struct {
	*telemetry.Telemetry

	Name    string
	Version string
	// Broker is connected, and its topology is as the settings say.
	Broker    *broker.Conn
	Publisher *broker.Publisher
	// Observer counts the work of workers in Registry.
	Observer worker.Observer
	Tracer   trace.Tracer

	cfg      Config
	topology broker.Topology
	probes   *lifecycle.ProbeServer
	// checks decide whether the process is ready; health is told beside them.
	checks   []lifecycle.Check
	health   []lifecycle.Check
	outbound *outbound.Metrics
	closers  []func(context.Context) error
}

// Open connects a process. Logs go to out; terminal says whether a person
// reads them there. When it fails, nothing stays open.
func Open(ctx context.Context, cfg Config, name, version string, out io.Writer, terminal bool) (_ *Process, err error) {
	tel, err := telemetry.Setup(ctx, cfg.Telemetry, name, version, out, terminal)
	if err != nil {
		return nil, err
	}
	p := &Process{Telemetry: tel, Name: name, Version: version, cfg: cfg, topology: broker.NewTopology(cfg.Topology)}
	p.OnClose(tel.Shutdown)
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close(ctx))
		}
	}()
	conn := cfg.Broker
	conn.Name, conn.Log = name, tel.Log
	if p.Broker, err = broker.Connect(ctx, conn); err != nil {
		return nil, backing.Unusable("RAGBUS_NATS_URL", err)
	}
	p.OnClose(p.Broker.Close)
	if err := p.checkAccess(ctx); err != nil {
		return nil, backing.Unusable("RAGBUS_NATS_URL", err)
	}
	p.checks = []lifecycle.Check{{Name: "broker", Probe: p.Broker.Ready}}
	if err := p.settleTopology(ctx); err != nil {
		return nil, err
	}
	metrics, err := worker.NewMetrics(tel.Registry)
	if err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	p.outbound = outbound.NewMetrics(tel.Registry)
	p.Publisher, p.Observer, p.Tracer = broker.NewPublisher(p.Broker.JetStream()), metrics, tel.Tracers.Tracer("github.com/ragbus/ragbus")
	return p, nil
}

// checkAccess has a permission that is missing said at the start, not when it is needed.
func (p *Process) checkAccess(ctx context.Context) error {
	access := broker.AccessOf(p.Name)
	if err := access.Check(ctx, p.Broker.NATS()); err != nil || p.cfg.TopologyMode != TopologyApply {
		return err
	}
	if err := access.WithTopology().Check(ctx, p.Broker.NATS()); err != nil {
		return fmt.Errorf("%w; or apply the topology with `ragbus topology apply` and set RAGBUS_TOPOLOGY_MODE=verify", err)
	}
	return nil
}

func (p *Process) settleTopology(ctx context.Context) error {
	switch p.cfg.TopologyMode {
	case TopologyApply:
		if err := broker.Ensure(ctx, p.Broker.JetStream(), p.topology); err != nil {
			return backing.Unusable("RAGBUS_TOPOLOGY_MODE", fmt.Errorf("%w (this user of the broker may lack the permission; then apply the topology "+
				"with `ragbus topology apply` and set RAGBUS_TOPOLOGY_MODE=verify)", err))
		}
	case TopologyVerify:
		if err := broker.Verify(ctx, p.Broker.JetStream(), p.topology); err != nil {
			return backing.Unusable("RAGBUS_TOPOLOGY_MODE",
				fmt.Errorf("the broker's streams are not those of this version (make them with `ragbus topology apply`):\n%w", err))
		}
	}
	return nil
}

// OnClose has Close call f, before what was given earlier.
func (p *Process) OnClose(f func(context.Context) error) { p.closers = append(p.closers, f) }

// Close releases what was opened, last first, also when Run was never called.
func (p *Process) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	var problems []error
	for _, undo := range slices.Backward(p.closers) {
		problems = append(problems, undo(ctx))
	}
	p.closers = nil
	return errors.Join(problems...)
}

// Host is the process for those who open its parts.
func (p *Process) Host() backing.Host {
	return backing.Host{
		Log: p.Log, Broker: p.Broker, OnClose: p.OnClose, Outbound: p.outbound,
		Replicas: p.cfg.Topology.Replicas, Create: p.cfg.TopologyMode == TopologyApply,
		OnProbe:  func(c lifecycle.Check) { p.checks = append(p.checks, c) },
		OnHealth: func(c lifecycle.Check) { p.health = append(p.health, c) },
	}
}

// Serve runs a service that answers probes itself, until ctx ends, and the
// parts beside it, which start before it. Where cfg has an address, probes and
// metrics are also answered there, apart from the service's callers.
func (p *Process) Serve(ctx context.Context, cfg Probes, run func(context.Context) error, beside ...lifecycle.Part) error {
	parts := beside
	if cfg.Addr != "" {
		probes, err := p.listenProbes(ctx, cfg)
		if err != nil {
			return err
		}
		parts = append([]lifecycle.Part{{Name: "probes", Run: probes.Run}}, parts...)
	}
	return lifecycle.Run(ctx, p.Log, p.parts(append(parts, lifecycle.Part{Name: p.Name, Run: run})...)...)
}

func (p *Process) listenProbes(ctx context.Context, cfg Probes) (*lifecycle.ProbeServer, error) {
	probes, err := lifecycle.ListenProbes(ctx, cfg.Addr, lifecycle.Probes{
		Checks: p.checks, Metrics: p.Registry, Service: p.Name, Version: p.Version, Log: p.Log,
	})
	if err != nil {
		return nil, backing.Unusable("RAGBUS_PROBE_ADDR", err)
	}
	p.probes = probes
	return probes, nil
}

// Work runs a worker until ctx ends, beside a server for probes and metrics
// whose address is bound at once. It answers for its health on the broker, for the gateways' /health.
func (p *Process) Work(ctx context.Context, cfg Probes, run func(context.Context) error) error {
	probes, err := p.listenProbes(ctx, cfg)
	if err != nil {
		return err
	}
	return lifecycle.Run(ctx, p.Log, p.parts(
		lifecycle.Part{Name: "probes", Run: probes.Run},
		lifecycle.Responding(p.Broker.NATS(), lifecycle.Part{Name: p.Name, Run: run}, slices.Concat(p.checks, p.health)...),
	)...)
}

// ProbeAddr returns where probes are answered, for what runs under [Process.Work].
func (p *Process) ProbeAddr() string { return p.probes.Addr() }

func (p *Process) parts(parts ...lifecycle.Part) []lifecycle.Part {
	if p.cfg.TopologyMode != TopologyApply {
		return parts
	}
	return append([]lifecycle.Part{{Name: "topology", Run: func(ctx context.Context) error {
		return broker.Maintain(ctx, p.Broker, p.topology, p.Log)
	}}}, parts...)
}
