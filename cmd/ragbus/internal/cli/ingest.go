package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// uploads is how many files are sent at once.
const uploads = 4

// waitStep is how long one request waits for a document, in the API's form.
const waitStep = "30s"

// result is what became of one file.
type result struct {
	Path     string           `json:"path"`
	Document *client.Document `json:"document,omitempty"`
	// New is false when the server had the same bytes already.
	New bool `json:"new"`
	// Code is the server's, when it was the server that refused the file.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
}

func (r result) failed() bool {
	return r.Error != "" || r.Document != nil && r.Document.Status == "failed"
}

func (a *app) ingestCommand() *cobra.Command {
	var collection string
	var noWait bool
	c := &cobra.Command{
		Use:   "ingest PATH…",
		Short: "Upload files and folders and wait until they can be searched",
		Long: `Upload files, and all files in folders (hidden ones excepted), and wait until they can be searched. In a folder a link
to a file counts as that file; a link to a folder is followed only when it is named itself, and what is no regular file is
skipped: both are told. A file keeps its document id as long as its path stays the same, so that ingesting a changed file
replaces its old version, and an unchanged one costs nothing. Exits with 1 when a file failed.`,
		Example: "  ragbus ingest ./handbook report.pdf\n  ragbus ingest --collection legal ~/contracts",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, skipped, err := files(args)
			for _, s := range skipped {
				fmt.Fprintln(a.io.Err, a.dim("skipped"), line(s))
			}
			if err != nil {
				return UsageError{err}
			}
			return a.call(func(c *client.Client) error {
				results := a.ingest(cmd.Context(), c, paths, collection, !noWait)
				return a.report(results)
			})
		},
	}
	c.Flags().StringVar(&collection, "collection", corpus.DefaultCollection, "collection to put the documents in")
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until the documents can be searched")
	return c
}

func (a *app) ingest(ctx context.Context, c *client.Client, paths []string, collection string, wait bool) []result {
	results := make([]result, len(paths))
	next := make(chan int)
	var mu sync.Mutex
	var workers sync.WaitGroup
	done := 0
	for range min(uploads, len(paths)) {
		workers.Go(func() {
			for i := range next {
				results[i] = ingestFile(ctx, c, paths[i], collection, wait)
				mu.Lock()
				done++
				a.progress(results[i], done, len(paths))
				mu.Unlock()
			}
		})
	}
	for i := range paths {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

func (a *app) progress(r result, done, total int) {
	if a.json {
		return
	}
	status := r.Error
	switch {
	case status != "":
	case r.Document.Status == "indexed":
		status = fmt.Sprintf("indexed, %d chunks", r.Document.Progress.Chunks)
		if !r.New {
			status += ", unchanged"
		}
	default:
		status = r.Document.Status
	}
	fmt.Fprintf(a.io.Err, "%s %s: %s\n", a.dim(fmt.Sprintf("[%d/%d]", done, total)), line(r.Path), line(status))
}

func ingestFile(ctx context.Context, c *client.Client, path, collection string, wait bool) result {
	r := result{Path: path}
	file := client.File{
		Name: path,
		Open: func() (io.ReadCloser, error) { return openFile(path) },
		Fields: map[string]string{
			"id": documentID(path), "collection": collection,
		},
	}
	doc, isNew, err := uploadPatiently(ctx, c, file)
	if err == nil && wait {
		doc, err = await(ctx, c, doc)
	}
	if err != nil {
		r.Code, r.Error = explained(err)
		return r
	}
	r.Document, r.New = &doc, isNew
	return r
}

// explained splits an error into the code that the server gave it, if it did, and the rest.
func explained(err error) (code, why string) {
	p, ok := errors.AsType[*client.Problem](err)
	switch {
	case !ok:
		return "", err.Error()
	case p.RequestID == "":
		return p.Code, p.Reason()
	}
	return p.Code, fmt.Sprintf("%s (request %s)", p.Reason(), p.RequestID)
}

// uploadPatiently tries again as long as the server says that it is only busy.
func uploadPatiently(ctx context.Context, c *client.Client, f client.File) (client.Document, bool, error) {
	for attempt := 0; ; attempt++ {
		doc, isNew, err := c.Upload(ctx, f)
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests && p.Status != http.StatusServiceUnavailable || attempt == 10 {
			return doc, isNew, err
		}
		pause := time.NewTimer(max(time.Second, time.Duration(p.RetryAfter*float64(time.Second))))
		select {
		case <-ctx.Done():
			pause.Stop()
			return doc, isNew, ctx.Err()
		case <-pause.C:
		}
	}
}

// await returns the document once it is settled.
func await(ctx context.Context, c *client.Client, doc client.Document) (client.Document, error) {
	for !doc.Settled() {
		path := "/v1/documents/" + doc.ID
		doc = client.Document{}
		if err := c.Do(ctx, http.MethodGet, path, url.Values{"wait": {waitStep}}, nil, &doc); err != nil {
			return doc, err
		}
	}
	return doc, nil
}

// report prints what failed and why.
func (a *app) report(results []result) error {
	failed := 0
	for _, r := range results {
		if r.failed() {
			failed++
		}
	}
	err := a.print(results, func(w io.Writer) {
		fmt.Fprintf(w, "%d of %d documents are in.\n", len(results)-failed, len(results))
		if failed == 0 {
			return
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "\nFAILED\tCODE\tWHY")
		for _, r := range results {
			switch {
			case r.Error != "":
				fmt.Fprintf(table, "%s\t%s\t%s\n", line(r.Path), orDash(&r.Code), line(r.Error))
			case r.failed() && r.Document.Error != nil:
				fmt.Fprintf(table, "%s\t%s\t%s\n", line(r.Path), line(r.Document.Error.Code), line(r.Document.Error.Message))
			}
		}
		_ = table.Flush()
	})
	if err == nil && failed > 0 {
		return errFailed
	}
	return err
}

// oneLine is a document in a list.
func oneLine(d client.Document) string {
	why := ""
	if d.Error != nil {
		why = d.Error.Message
	}
	return fmt.Sprintf("%s\t%s\t%s\t%d/%d\t%s\t%s", line(d.ID), line(d.Status), line(d.Collection), d.Progress.Embedded, d.Progress.Chunks,
		shorten(d.Title, titleWidth), line(why))
}

// indent writes v as JSON for people. JSON escapes only some of what a terminal obeys.
func indent(w io.Writer, v any) {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) //nolint:errchkjson // plain data to a terminal
	fmt.Fprint(w, plain(text.String()))
}
