package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

// Operator works on the parts that the settings name, without a server.
type Operator interface {
	Topology() (broker.Topology, error)
	ApplyTopology(ctx context.Context) error
	// VerifyTopology returns every difference, joined.
	VerifyTopology(ctx context.Context) error
	Migrate(ctx context.Context) error
	Reindex(ctx context.Context) (documents, points int, err error)
	// Verify compares the record with the stores and the queue, and mends what differs when asked to.
	Verify(ctx context.Context, repair bool) (reconcile.Report, error)
	// Keys calls do with the record of API keys, which is made when it is not there and create is set.
	Keys(ctx context.Context, create bool, do func(context.Context, access.Keys) error) error
}

func (a *app) topologyCommand(o Operator) *cobra.Command {
	c := &cobra.Command{
		Use: "topology", Short: "Make, compare or print the broker's streams and consumers",
		Long: `Services make the streams and consumers that they need, unless RAGBUS_TOPOLOGY_MODE=verify, for brokers on which they
have no permission to. Then these commands do, with RAGBUS_NATS_URL and RAGBUS_NATS_CREDS of somebody who has it.`,
		Example: "  RAGBUS_NATS_URL=nats://nats:4222 ragbus topology verify",
		RunE:    onlyWith("apply, verify and print"),
	}
	c.AddCommand(
		&cobra.Command{
			Use: "apply", Short: "Make what is missing and update what differs", Example: "  ragbus topology apply", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := o.ApplyTopology(cmd.Context()); err != nil {
					return err
				}
				return a.said("applied")
			},
		},
		&cobra.Command{
			Use: "verify", Short: "Compare, change nothing; exit code 1 when something differs", Example: "  ragbus topology verify", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				if err := o.VerifyTopology(cmd.Context()); err != nil {
					return err
				}
				return a.said("as described")
			},
		},
		&cobra.Command{
			Use: "print", Short: "Print what is described", Example: "  ragbus topology print --json", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				t, err := o.Topology()
				if err != nil {
					return err
				}
				return a.print(t, func(w io.Writer) { printTopology(w, t) })
			},
		})
	return c
}

func printTopology(w io.Writer, t broker.Topology) {
	for _, s := range t.Streams {
		fmt.Fprintf(w, "%-12s %s, %s, at most %d messages and %d bytes, for %s\n", s.Name, s.Retention, s.Storage, s.MaxMsgs, s.MaxBytes, s.MaxAge)
		for _, subject := range s.Subjects {
			fmt.Fprintf(w, "  subject  %s\n", subject)
		}
		for _, c := range s.Consumers {
			subjects := c.FilterSubjects
			if c.FilterSubject != "" {
				subjects = []string{c.FilterSubject}
			}
			fmt.Fprintf(w, "  consumer %s takes %v, acknowledged within %s\n", c.Durable, subjects, c.AckWait)
		}
	}
}

func (a *app) migrateCommand(o Operator) *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database to this version",
		Long: `Every service migrates the database when it starts, one at a time. Run this before, with RAGBUS_DATABASE_URL of a role
that may change tables, when the role of the services may not.`,
		Example: "  RAGBUS_DATABASE_URL=postgres://owner:…@db/ragbus ragbus migrate", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Migrate(cmd.Context()); err != nil {
				return err
			}
			return a.said("migrated")
		},
	}
}

func (a *app) reindexCommand(o Operator) *cobra.Command {
	return &cobra.Command{
		Use: "reindex", Short: "Fill the vector store anew from the record",
		Long: `Fills a new collection from the database and lets it take the place of the one that searches use, which may be lost,
damaged, or of another embedding model. Nothing is extracted again, and nothing is embedded whose vector the database
remembers. Servers go on meanwhile. It may be interrupted and repeated.`,
		Example: "  RAGBUS_DATABASE_URL=postgres://… RAGBUS_VECTOR_URL=qdrant://qdrant:6334 ragbus reindex", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			documents, points, err := o.Reindex(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(map[string]int{"documents": documents, "points": points}, func(w io.Writer) {
				fmt.Fprintf(w, "%d documents, %d chunks\n", documents, points)
			})
		},
	}
}

// said reports that something is done.
func (a *app) said(what string) error {
	return a.print(map[string]string{"status": what}, func(w io.Writer) { fmt.Fprintln(w, what) })
}
