package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
)

// sampleQuestion is answered by the PDF of the sample library.
const sampleQuestion = "How much electricity did the solar array produce in 2025?"

// untouched reports whether the server never had a document. The directory
// does not tell: a first start that failed, on a taken port say, leaves files there.
func untouched(ctx context.Context, c *client.Client) (bool, error) {
	for _, query := range []url.Values{{"limit": {"1"}}, {"limit": {"1"}, "status": {"deleted"}}} {
		var page client.Page[client.Document]
		if err := c.Do(ctx, http.MethodGet, "/v1/documents", query, nil, &page); err != nil {
			return false, fmt.Errorf("look for documents: %w", err)
		}
		if len(page.Data) > 0 {
			return false, nil
		}
	}
	return true, nil
}

// showSample ingests the sample library and asks it a question, through the
// public API like everybody else.
func showSample(ctx context.Context, c *client.Client, out io.Writer, library fs.FS) error {
	names, err := fs.Glob(library, "*")
	if err != nil {
		return fmt.Errorf("list the library: %w", err)
	}
	fmt.Fprintln(out, "Ingesting a small sample library:")
	var docs []client.Document
	for _, name := range names {
		if name == "README.md" {
			continue
		}
		doc, _, err := c.Upload(ctx, client.File{
			Name: name, Open: func() (io.ReadCloser, error) { return library.Open(name) },
			Fields: map[string]string{"id": "sample-" + name[:len(name)-len(path.Ext(name))]},
		})
		if err != nil {
			return err
		}
		docs = append(docs, doc)
	}
	for _, doc := range docs {
		for !doc.Settled() {
			id := doc.ID
			doc = client.Document{}
			if err := c.Do(ctx, http.MethodGet, "/v1/documents/"+id, url.Values{"wait": {"30s"}}, nil, &doc); err != nil {
				return err
			}
		}
		if doc.Status != "indexed" {
			return fmt.Errorf("%s: %s", doc.Filename, doc.Error.Message)
		}
		fmt.Fprintf(out, "  %-24s %d chunks\n", doc.Filename, doc.Progress.Chunks)
	}
	fmt.Fprintf(out, "\nQ: %s\nA: ", sampleQuestion)
	answer, err := c.Chat(ctx, map[string]any{"question": sampleQuestion}, func(e client.Event) error {
		if e.Name != "delta" {
			return nil
		}
		var d struct {
			Text string `json:"text"`
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return fmt.Errorf("decode a piece of the answer: %w", err)
		}
		fmt.Fprint(out, d.Text)
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, cite := range answer.Citations {
		where := cite.Title
		if cite.Page != nil {
			where += fmt.Sprintf(", page %d", *cite.Page)
		}
		fmt.Fprintf(out, "   [%d] %s: “%s”\n", cite.Marker, where, cite.Quote)
	}
	return nil
}
