package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/pkg/reconcile"
	"github.com/ragbus/ragbus/services/ingestor"
)

// errDiffers is why the exit code of verify is 1.
var errDiffers = errors.New("something differs that was not mended")

// verify compares the record with what the other stores hold, as `ragbus
// verify` does, which has no clients for the object stores of clouds. The
// user of RAGBUS_NATS_URL must be an operator's: an ingestor's own may not
// read the queue and the dead letters.
func verify(ctx context.Context, env process.Environment, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ingestor verify", flag.ContinueOnError)
	flags.SetOutput(env.Log)
	repair := flags.Bool("repair", false, "mend what differs")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	if args[0] != "verify" {
		return fmt.Errorf("%w: %q is no command; without one this is the service, with `verify [--repair] [--json]` it compares the stores once", process.ErrSettings, args[0])
	}
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 0 {
		return fmt.Errorf("%w: verify takes --repair and --json", process.ErrSettings)
	}
	return with(ctx, env, func(cfg settings, p *process.Process, deps ingestor.Deps) error {
		if err := broker.AccessOf(ingestor.Name).WithComparison().Check(ctx, p.Broker.NATS()); err != nil {
			return backing.Unusable("RAGBUS_NATS_URL", err)
		}
		report, err := ingestor.Compare(ctx, cfg.Ingestor, deps, ingestor.Comparison{Repair: *repair})
		if err != nil {
			return err
		}
		if err := write(out, report, *repair, *asJSON); err != nil {
			return err
		}
		if !report.Mended() {
			return errDiffers
		}
		return nil
	})
}

func write(out io.Writer, report reconcile.Report, repair, asJSON bool) error {
	if !asJSON {
		report.WriteText(out, repair)
		return nil
	}
	to := json.NewEncoder(out)
	to.SetIndent("", "  ")
	if err := to.Encode(report); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}
