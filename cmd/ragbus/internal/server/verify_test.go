package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

// serving runs a server on the settings while do talks to it.
func serving(t *testing.T, set config.Vars, do func(ctx context.Context, c *client.Client)) {
	t.Helper()
	cfg, err := config.Load[Config](set)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, Parts{}, "v1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c, err := client.New(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := Ready(ctx, c); err != nil {
		t.Error(err)
	} else {
		do(ctx, c)
	}
	c.Close()
	stop()
	if err := errors.Join(<-done, s.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// awaitIndexed waits until the handbook is indexed.
func awaitIndexed(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	for {
		var doc client.Document
		if err := c.Do(ctx, http.MethodGet, "/v1/documents/handbook", url.Values{"wait": {"10s"}}, nil, &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Status == "indexed" {
			return
		}
	}
}

func verified(t *testing.T, set config.Vars, repair bool) reconcile.Report {
	t.Helper()
	o := operator(set)
	o.Settling = time.Nanosecond
	r, err := o.Verify(t.Context(), repair)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestAnIndexThatWasLostIsFilledAgain loses a part of a data directory, as a
// backup does that was made without it.
func TestAnIndexThatWasLostIsFilledAgain(t *testing.T) {
	t.Parallel()
	set := vars(t)
	set["RAGBUS_INGEST_LEASE"], set["RAGBUS_SWEEP_INTERVAL"] = "1s", "100ms"
	serving(t, set, func(ctx context.Context, c *client.Client) {
		_, _, err := c.Upload(ctx, client.File{
			Name: "handbook.md", Fields: map[string]string{"id": "handbook"},
			Open: func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader("# Handbook\n\nEverybody has thirty days of leave a year.\n")), nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		awaitIndexed(ctx, t, c)
		if _, err := operator(set).Verify(ctx, false); err == nil || !strings.Contains(err.Error(), "RAGBUS_DATA_DIR") {
			t.Errorf("while a server runs on the directory: %v", err)
		}
	})
	if r := verified(t, set, false); len(r.Differences) > 0 || r.Documents != 1 || r.Blobs != 1 || r.Points == 0 {
		t.Fatalf("before: %+v", r)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(set["RAGBUS_DATA_DIR"], "index.db"+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if r := verified(t, set, false); r.Mended() || len(r.Differences) != 2 || r.Differences[0].Kind != reconcile.PointsMissing {
		t.Fatalf("without its index: %+v", r)
	}
	if r := verified(t, set, true); !r.Mended() || len(r.Differences) != 2 {
		t.Fatalf("the repair: %+v", r)
	}
	serving(t, set, func(ctx context.Context, c *client.Client) {
		awaitIndexed(ctx, t, c)
		var found struct {
			Passages []struct {
				DocumentID string `json:"document_id"`
			} `json:"passages"`
		}
		if err := c.Do(ctx, http.MethodPost, "/v1/search", nil, map[string]any{"query": "days of leave"}, &found); err != nil || len(found.Passages) == 0 {
			t.Errorf("a search after the repair: %+v, %v", found, err)
		}
	})
	if r := verified(t, set, true); len(r.Differences) > 0 {
		t.Errorf("after the repair: %+v", r)
	}
}

func TestTheObjectStoreOfABrokerIsMadeWithItsTopology(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	o := operator(config.Vars{"RAGBUS_NATS_URL": b.URL(), "RAGBUS_BLOB_URL": "nats://papers?create=false"})
	for range 2 {
		if err := o.ApplyTopology(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.JS.ObjectStore(t.Context(), "papers"); err != nil {
		t.Errorf("the bucket: %v", err)
	}
}
