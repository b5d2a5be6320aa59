package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
)

const deadPath = "/v1/dead-letters"

func (a *app) deadCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "dead", Short: "List, show, redrive and remove dead letters",
		Long: `Work that could not be done becomes a dead letter, with its story: what it was, who gave up, when and why.
Mend the cause, then redrive it.`,
		Example: "  ragbus dead ls --since 24h\n  ragbus dead redrive --stage ingestor-embed --class transient",
		RunE:    onlyWith("ls, show, redrive and rm"),
	}
	c.AddCommand(a.deadList(), a.deadShow(), a.deadRedrive(), a.deadRemove())
	return c
}

// deadFlags are the flags that select letters.
type deadFlags struct {
	client.DeadFilter

	all bool
}

func (f *deadFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.Stage, "stage", "", "only of this consumer: ingestor-extract, ingestor-embed, retriever, generator")
	c.Flags().StringVar(&f.Kind, "kind", "", "only this kind of work, such as document.uploaded")
	c.Flags().StringVar(&f.Class, "class", "", "only this class: transient, throttled, permanent, invalid, not_found")
	c.Flags().StringVar(&f.Code, "code", "", "only this code")
	c.Flags().StringVar(&f.Since, "since", "", "only what was given up since this time (2026-01-31T08:00:00Z) or for this long (24h)")
	c.Flags().StringVar(&f.Until, "until", "", "only what was given up before this time, or longer ago than this (24h)")
}

// resolve turns durations into times.
func (f *deadFlags) resolve(now time.Time) error {
	for name, text := range map[string]*string{"since": &f.Since, "until": &f.Until} {
		if *text == "" {
			continue
		}
		if ago, err := time.ParseDuration(*text); err == nil {
			*text = now.Add(-ago).UTC().Format(time.RFC3339Nano)
			continue
		}
		if _, err := time.Parse(time.RFC3339Nano, *text); err != nil {
			return UsageError{fmt.Errorf("--%s: %q is neither a time such as 2026-01-31T08:00:00Z nor a duration such as 24h", name, *text)}
		}
	}
	return nil
}

// choose checks that either ids or a filter were given, and not both.
func (f *deadFlags) choose(args []string) error {
	filtered := f.all || f.DeadFilter != client.DeadFilter{}
	switch {
	case len(args) > 0 && filtered:
		return UsageError{errors.New("name letters by id or select them by flags, not both")}
	case len(args) == 0 && !filtered:
		return UsageError{errors.New("name letters by id, select them by flags, or say --all")}
	}
	return f.resolve(time.Now())
}

func (f *deadFlags) query() url.Values {
	q := url.Values{"limit": {"100"}}
	for name, value := range map[string]string{
		"stage": f.Stage, "kind": f.Kind, "class": f.Class, "code": f.Code, "since": f.Since, "until": f.Until,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if f.all {
		q.Set("all", "true")
	}
	return q
}

func (a *app) deadList() *cobra.Command {
	var f deadFlags
	var limit int
	c := &cobra.Command{
		Use: "ls", Short: "List dead letters, oldest first", Example: "  ragbus dead ls --stage generator --since 2h", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.resolve(time.Now()); err != nil {
				return err
			}
			if limit < 1 {
				return UsageError{errors.New("--limit: use 1 or more")}
			}
			return a.call(func(c *client.Client) error {
				letters, more, err := deadLetters(cmd.Context(), c, f.query(), limit)
				if err != nil {
					return err
				}
				if more {
					defer fmt.Fprintf(a.io.Err, "the first %d are shown; --limit shows more, flags select\n", limit)
				}
				return a.print(letters, func(w io.Writer) { a.deadTable(w, letters) })
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&limit, "limit", 1000, "how many are shown at most")
	return c
}

// deadLetters reads pages until there are limit letters or no more.
func deadLetters(ctx context.Context, c *client.Client, query url.Values, limit int) (letters []client.DeadLetter, more bool, err error) {
	letters = []client.DeadLetter{}
	for {
		var page client.Page[client.DeadLetter]
		if err := c.Do(ctx, http.MethodGet, deadPath, query, nil, &page); err != nil {
			return nil, false, err
		}
		letters = append(letters, page.Data...)
		if len(letters) > limit {
			return letters[:limit], true, nil
		}
		if page.NextCursor == nil {
			return letters, false, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}

func (a *app) deadTable(w io.Writer, letters []client.DeadLetter) {
	if len(letters) == 0 {
		fmt.Fprintln(w, "no dead letters")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tDIED\tSTAGE\tKIND\tABOUT\tATTEMPTS\tREDRIVES\tCLASS\tCODE\tWHY")
	for _, l := range letters {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", line(l.ID), when(l.DiedAt), line(l.Stage), line(l.Kind), orDash(l.About),
			l.Attempts, l.Redrives, line(l.Class), line(l.Code), a.dim(shorten(l.Message, 60)))
	}
	_ = table.Flush()
}

func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func orDash(s *string) string {
	if s == nil || *s == "" {
		return "-"
	}
	return shorten(*s, 40)
}

func (a *app) deadShow() *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its message", Example: "  ragbus dead show 12-5f0c2a9d1e", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.call(func(c *client.Client) error {
				var l client.DeadLetter
				if err := c.Do(cmd.Context(), http.MethodGet, deadPath+"/"+url.PathEscape(args[0]), nil, nil, &l); err != nil {
					return err
				}
				return a.print(l, func(w io.Writer) { indent(w, l) })
			})
		},
	}
}

func (a *app) deadRedrive() *cobra.Command {
	var f deadFlags
	var force bool
	c := &cobra.Command{
		Use: "redrive [ID…]", Short: "Try given up work again",
		Long: `Put work back into its queue, by id or by flags. A document starts anew and loses its error. What failed at a part
that is known not to work is refused, unless --force is given. The exit code is 1 when a letter stays.`,
		Example: "  ragbus dead redrive 12-5f0c2a9d1e\n  ragbus dead redrive --stage ingestor-embed --since 24h\n  ragbus dead redrive --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.choose(args); err != nil {
				return err
			}
			return a.call(func(c *client.Client) error {
				var sum client.Redriven
				var err error
				if len(args) > 0 {
					sum, err = redriveEach(cmd.Context(), c, args, force)
				} else {
					sum, err = redriveAll(cmd.Context(), c, client.Redrive{DeadFilter: f.DeadFilter, All: f.all, Force: force})
				}
				if err != nil {
					return err
				}
				if err := a.print(sum, func(w io.Writer) { printRedriven(w, sum) }); err != nil {
					return err
				}
				if sum.Refused+sum.Failed > 0 {
					return errFailed
				}
				return nil
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&f.all, "all", false, "every letter")
	c.Flags().BoolVar(&force, "force", false, "also what failed at a part that is known not to work, or could not be read")
	return c
}

// redriveEach redrives letters by id and goes on when one is refused. A
// letter that does not exist is an error of the caller's.
func redriveEach(ctx context.Context, c *client.Client, ids []string, force bool) (client.Redriven, error) {
	sum := client.Redriven{Refusals: []client.Refusal{}}
	for _, id := range ids {
		var got struct {
			Outcome string `json:"outcome"`
		}
		err := c.Do(ctx, http.MethodPost, deadPath+"/"+url.PathEscape(id)+"/redrive", nil, map[string]bool{"force": force}, &got)
		problem, told := errors.AsType[*client.Problem](err)
		switch {
		case err == nil && got.Outcome == "obsolete":
			sum.Obsolete++
		case err == nil:
			sum.Redriven++
		case told && problem.Status == http.StatusUnauthorized, told && problem.Status == http.StatusForbidden, !told:
			return sum, err
		case problem.Status < http.StatusInternalServerError && problem.Status != http.StatusTooManyRequests:
			sum.Refused++
			sum.Refusals = append(sum.Refusals, client.Refusal{ID: id, Code: problem.Code, Message: problem.Detail})
		default:
			sum.Failed++
			sum.Refusals = append(sum.Refusals, client.Refusal{ID: id, Code: problem.Code, Message: problem.Detail})
		}
	}
	return sum, nil
}

// redriveAll follows the batches to the end.
func redriveAll(ctx context.Context, c *client.Client, r client.Redrive) (client.Redriven, error) {
	sum := client.Redriven{Refusals: []client.Refusal{}}
	for {
		var got client.Redriven
		if err := c.Do(ctx, http.MethodPost, deadPath+"/redrive", nil, r, &got); err != nil {
			return sum, err
		}
		sum.Redriven, sum.Obsolete = sum.Redriven+got.Redriven, sum.Obsolete+got.Obsolete
		sum.Refused, sum.Failed = sum.Refused+got.Refused, sum.Failed+got.Failed
		sum.Refusals = append(sum.Refusals, got.Refusals...)
		if got.NextCursor == nil {
			return sum, nil
		}
		r.Cursor = *got.NextCursor
	}
}

func printRedriven(w io.Writer, sum client.Redriven) {
	fmt.Fprintf(w, "%d redriven, %d had nothing to do any more, %d refused, %d failed\n", sum.Redriven, sum.Obsolete, sum.Refused, sum.Failed)
	if len(sum.Refusals) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tCODE\tWHY IT STAYS")
	for _, r := range sum.Refusals {
		fmt.Fprintf(table, "%s\t%s\t%s\n", line(r.ID), line(r.Code), line(r.Message))
	}
	_ = table.Flush()
}

func (a *app) deadRemove() *cobra.Command {
	var f deadFlags
	c := &cobra.Command{
		Use: "rm [ID…]", Short: "Remove dead letters for good", Example: "  ragbus dead rm 12-5f0c2a9d1e\n  ragbus dead rm --code deadline_exceeded --until 168h",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.choose(args); err != nil {
				return err
			}
			return a.call(func(c *client.Client) error {
				deleted, err := removeLetters(cmd.Context(), c, args, f.query())
				if err != nil {
					return err
				}
				return a.print(map[string]int{"deleted": deleted}, func(w io.Writer) { fmt.Fprintf(w, "%d removed\n", deleted) })
			})
		},
	}
	f.add(c)
	c.Flags().BoolVar(&f.all, "all", false, "every letter")
	return c
}

func removeLetters(ctx context.Context, c *client.Client, ids []string, query url.Values) (deleted int, err error) {
	for _, id := range ids {
		if err := c.Do(ctx, http.MethodDelete, deadPath+"/"+url.PathEscape(id), nil, nil, nil); err != nil {
			return deleted, err
		}
		deleted++
	}
	if len(ids) > 0 {
		return deleted, nil
	}
	for {
		var got struct {
			Deleted    int     `json:"deleted"`
			NextCursor *string `json:"next_cursor"`
		}
		if err := c.Do(ctx, http.MethodDelete, deadPath, query, nil, &got); err != nil {
			return deleted, err
		}
		deleted += got.Deleted
		if got.NextCursor == nil {
			return deleted, nil
		}
		query.Set("cursor", *got.NextCursor)
	}
}

// deadByStage returns the stages that have letters, for `ragbus status`.
func deadByStage(counts map[string]float64) string {
	text := ""
	for _, stage := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[stage]; n > 0 {
			if text != "" {
				text += ", "
			}
			text += fmt.Sprintf("%s %.0f", stage, n)
		}
	}
	return text
}
