package cli

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
)

func (a *app) documentsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "documents", Short: "List, show, remove and retry documents", Example: "  ragbus documents ls --status failed",
		RunE: onlyWith("ls, show, rm and retry"),
	}
	c.AddCommand(a.documentsList(),
		a.documentCommand("show ID", "Show a document", http.MethodGet, ""),
		a.documentCommand("rm ID", "Remove a document", http.MethodDelete, ""),
		a.documentCommand("retry ID", "Try a failed document again", http.MethodPost, "/retry"))
	return c
}

func (a *app) documentsList() *cobra.Command {
	var collection, status string
	c := &cobra.Command{
		Use: "ls", Short: "List documents, newest first", Example: "  ragbus documents ls --status failed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(func(c *client.Client) error {
				query := url.Values{"limit": {"100"}}
				for name, value := range map[string]string{"collection": collection, "status": status} {
					if value != "" {
						query.Set(name, value)
					}
				}
				docs := []client.Document{}
				for {
					var page client.Page[client.Document]
					if err := c.Do(cmd.Context(), http.MethodGet, "/v1/documents", query, nil, &page); err != nil {
						return err
					}
					docs = append(docs, page.Data...)
					if page.NextCursor == nil {
						break
					}
					query.Set("cursor", *page.NextCursor)
				}
				return a.print(docs, func(w io.Writer) {
					table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
					fmt.Fprintln(table, "ID\tSTATUS\tCOLLECTION\tCHUNKS\tTITLE\tWHY")
					for _, d := range docs {
						fmt.Fprintln(table, oneLine(d))
					}
					_ = table.Flush()
				})
			})
		},
	}
	c.Flags().StringVar(&collection, "collection", "", "only this collection")
	c.Flags().StringVar(&status, "status", "", "only this status")
	return c
}

func (a *app) documentCommand(use, short, method, suffix string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: "  ragbus documents " + use, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(func(c *client.Client) error {
				var doc client.Document
				if err := c.Do(cmd.Context(), method, "/v1/documents/"+url.PathEscape(args[0])+suffix, nil, nil, &doc); err != nil {
					return err
				}
				return a.print(doc, func(w io.Writer) { indent(w, doc) })
			})
		},
	}
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the server, its parts and its queues are", Example: "  ragbus status --json", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(func(c *client.Client) error {
				s, err := status(cmd.Context(), c)
				if err != nil {
					return err
				}
				if err := a.print(s, func(w io.Writer) { a.printStatus(w, s) }); err != nil {
					return err
				}
				if s.Health.Status != "healthy" {
					return errFailed
				}
				return nil
			})
		},
	}
}

func (a *app) printStatus(w io.Writer, s serverStatus) {
	fmt.Fprintf(w, "%s is %s\n\n", a.server, a.bold(line(s.Health.Status)))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PART\tSTATE")
	names := make([]string, 0, len(s.Health.Services))
	for name := range s.Health.Services {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(table, "%s\t%s\n", line(name), line(s.Health.Services[name]))
	}
	fmt.Fprintln(table, "\nQUEUE\tWAITING\tIN WORK\tPULLS\tOLDEST")
	for _, q := range s.Queues {
		fmt.Fprintf(table, "%s\t%.0f\t%.0f\t%.0f\t%.0fs\n", q.Consumer, q.Waiting, q.InWork, q.Pulls, q.OldestSeconds)
	}
	_ = table.Flush()
	for _, l := range s.InLine {
		fmt.Fprintf(w, "\nIN LINE  %.0f documents to %s, the oldest for %.0fs: accepted, and waiting for their tenant's turn\n", l.Documents, l.Step, l.OldestSeconds)
	}
	if dead := deadByStage(s.DeadLetters); dead != "" {
		fmt.Fprintf(w, "\nDEAD LETTERS  %s (ragbus dead ls)\n", dead)
	}
}
