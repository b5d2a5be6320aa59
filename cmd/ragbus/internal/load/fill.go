package load

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
)

// uploads is how many documents are sent at once.
const uploads = 8

// Fill uploads the library and waits until all of it is indexed. It returns
// the number of chunks.
func Fill(ctx context.Context, c *client.Client, l *Library) (chunks int, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next, total atomic.Int64
	var running sync.WaitGroup
	for range uploads {
		running.Go(func() {
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= l.Documents() {
					return
				}
				doc, err := Ingest(ctx, c, l.Document(n))
				if err != nil {
					stop(err)
					return
				}
				total.Add(int64(doc.Progress.Chunks))
			}
		})
	}
	running.Wait()
	return int(total.Load()), context.Cause(ctx)
}

// Ingest sends a document and waits until it is indexed.
func Ingest(ctx context.Context, c *client.Client, d Document) (client.Document, error) {
	var doc client.Document
	body := map[string]any{"id": d.ID, "text": d.Markdown, "filename": d.ID + ".md", "media_type": "text/markdown"}
	if err := c.Do(ctx, http.MethodPost, "/v1/documents", nil, body, &doc); err != nil {
		return doc, err
	}
	return Indexed(ctx, c, doc)
}

// Indexed waits until a document is indexed. One that failed is an error.
func Indexed(ctx context.Context, c *client.Client, doc client.Document) (client.Document, error) {
	for !doc.Settled() {
		id := doc.ID
		doc = client.Document{}
		if err := c.Do(ctx, http.MethodGet, "/v1/documents/"+id, url.Values{"wait": {"60s"}}, nil, &doc); err != nil {
			return doc, err
		}
	}
	if doc.Status != "indexed" {
		return doc, fmt.Errorf("document %s is %s: %+v", doc.ID, doc.Status, doc.Error)
	}
	return doc, nil
}
