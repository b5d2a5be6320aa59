package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/pkg/reconcile"
)

// shownDifferences is how many differences are told one by one to people.
const shownDifferences = 100

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
			if err := a.print(report, func(w io.Writer) { printReport(w, report, repair) }); err != nil {
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

func printReport(w io.Writer, r reconcile.Report, repair bool) {
	fmt.Fprintf(w, "compared %d documents, %d points, %d uploads, %d queued messages, %d dead letters\n", r.Documents, r.Points, r.Blobs, r.Messages, r.Letters)
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	if len(r.Differences) == 0 {
		fmt.Fprintln(w, "nothing differs")
		return
	}
	found, mended := map[reconcile.Kind]int{}, map[reconcile.Kind]int{}
	for _, d := range r.Differences {
		found[d.Kind]++
		if d.Mended {
			mended[d.Kind]++
		}
	}
	fmt.Fprintf(w, "\n%-18s %5s %7s\n", "difference", "found", "mended")
	for _, kind := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(w, "%-18s %5d %7d\n", kind.Words(), found[kind], mended[kind])
	}
	fmt.Fprintln(w)
	for i, d := range r.Differences {
		if i == shownDifferences {
			fmt.Fprintf(w, "… and %d more; --json lists all\n", len(r.Differences)-i)
			break
		}
		line := fmt.Sprintf("%s %s: %s: %s", d.Tenant, d.Document, d.Kind.Words(), d.What)
		if d.Document == "" {
			line = fmt.Sprintf("%s: %s: %s", d.Tenant, d.Kind.Words(), d.What)
		}
		if d.Done != "" {
			line += " → " + d.Done
		}
		fmt.Fprintln(w, line)
	}
	if !repair {
		fmt.Fprintln(w, "\n`ragbus verify --repair` mends what can be mended.")
	}
}
