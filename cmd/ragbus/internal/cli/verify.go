package cli

import (
	"io"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand(o Operator) *cobra.Command {
	var repair bool
	c := &cobra.Command{
		Use: "verify", Short: "Compare the record with bytes, index and queue; exit code 1 when something differs",
		Long: `Compares each document of the record with what the blob store and the index hold of it, looks for points, bytes and
queued work that belong to no document, and for documents that do not move. With --repair it mends what it finds: what is
missing is indexed again from its stored texts, or extracted again from its bytes, by the ingestors; what belongs to nothing
is removed. Run it after a backup was restored. Servers that share the parts go on meanwhile; a server on embedded parts has
to be stopped, and does what a repair begins when it starts again. It may be interrupted and repeated.

The exit code is 0 when nothing differs, or everything was mended, and 1 otherwise.`,
		Example: "  ragbus verify\n  RAGBUS_DATABASE_URL=postgres://… RAGBUS_VECTOR_URL=qdrant://qdrant:6334 RAGBUS_NATS_URL=nats://nats:4222 ragbus verify --repair --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := o.Verify(cmd.Context(), repair)
			if err != nil {
				return err
			}
			if err := a.print(report, func(w io.Writer) { report.WriteText(w, repair) }); err != nil {
				return err
			}
			if !report.Mended() {
				return errFailed
			}
			return nil
		},
	}
	c.Flags().BoolVar(&repair, "repair", false, "mend what differs")
	return c
}
