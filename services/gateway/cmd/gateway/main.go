// Command gateway is the HTTP side of Ragbus as a process of its own.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/gateway"
)

// version is set by the linker.
var version = "dev"

type settings struct {
	Process process.Config
	Gateway gateway.Config
}

func main() { os.Exit(process.Main("gateway", run)) }

func run(ctx context.Context, cfg settings) error {
	p, err := process.Open(ctx, cfg.Process, "gateway", version, os.Stderr, false)
	if err != nil {
		return err
	}
	s, err := gateway.New(cfg.Gateway, gateway.Deps{
		Catalog: p.Catalog, Conversations: p.Conversations, Blobs: p.Blobs, Publisher: broker.NewPublisher(p.Conn.JetStream()), Broker: p.Conn,
		Registry: p.Telemetry.Registry, Log: p.Telemetry.Log, Tracers: p.Telemetry.Tracers, Version: gateway.Version{Version: version},
	})
	if err == nil {
		err = s.Run(ctx)
	}
	return errors.Join(err, p.Close(ctx))
}
