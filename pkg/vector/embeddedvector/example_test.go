package embeddedvector_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/embeddedvector"
)

// A version is written dark, goes live in one step, and is then found.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "index")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := embeddedvector.Open(ctx, embeddedvector.Config{
		Path: filepath.Join(dir, "index.db"), Dimensions: 3, ProfileKey: "example-3", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for store.Ready(ctx) != nil {
		<-tick.C
	}

	doc := vector.Document{Tenant: "acme", Collection: "manuals", ID: "pump", Version: "v1", Generation: 1, ACL: []string{"group:field"}}
	err = store.Upsert(ctx, doc, []vector.Point{
		{Ordinal: 0, Text: "Close the valve before replacing the filter.", Dense: []float32{1, 0, 0}},
		{Ordinal: 1, Text: "The warranty ends after two years.", Dense: []float32{0, 1, 0}},
	})
	if err == nil {
		err = store.Activate(ctx, doc)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, principals := range [][]string{{"group:field"}, nil} {
		scope, err := corpus.NewScope("acme", principals...)
		if err != nil {
			fmt.Println(err)
			return
		}
		hits, err := store.Search(ctx, vector.Query{Scope: scope, Mode: vector.Keyword, Text: "How do I replace filters?", Limit: 3})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(hits), "found")
		for _, h := range hits {
			fmt.Println(h.Ref.ID())
		}
	}
	// Output:
	// 1 found
	// pump.v1.0
	// 0 found
}
