package qdrantvector_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/vector"
	"github.com/ragbus/ragbus/pkg/vector/qdrantvector"
	"github.com/ragbus/ragbus/pkg/vector/vectortest"
)

// The tests of this file run on a real server: RAGBUS_TEST_QDRANT_URL in the
// form of RAGBUS_VECTOR_URL without a prefix, and its key if it wants one.
// They make collections with names of their own and drop them. Where
// RAGBUS_TEST_REQUIRE names qdrant, its absence is a failure.
const (
	serverVariable    = "RAGBUS_TEST_QDRANT_URL"
	serverKeyVariable = "RAGBUS_TEST_QDRANT_API_KEY"
	requireVariable   = "RAGBUS_TEST_REQUIRE"
)

// onServer returns the configuration of an index of the test's own.
func onServer(t *testing.T) qdrantvector.Config {
	t.Helper()
	prefix := "t" + strings.ToLower(rand.Text()[:12])
	cfg := config("unused")
	cfg.URL, cfg.APIKey = strings.TrimSuffix(os.Getenv(serverVariable), "/")+"/"+prefix, os.Getenv(serverKeyVariable)
	t.Cleanup(func() { dropAll(t, cfg, prefix+"_") })
	return cfg
}

func dropAll(t *testing.T, cfg qdrantvector.Config, prefix string) {
	t.Helper()
	u, err := url.Parse(cfg.URL)
	if err != nil {
		t.Fatal(err)
	}
	port := 6334
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := qdrant.NewClient(&qdrant.Config{
		Host: u.Hostname(), Port: port, APIKey: cfg.APIKey, UseTLS: u.Scheme == "qdrants", SkipCompatibilityCheck: true, PoolSize: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	ctx := context.WithoutCancel(t.Context()) // it ends before the clean-up
	names, err := raw.ListCollections(ctx)
	if err != nil {
		t.Errorf("list the collections: %v", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := raw.DeleteCollection(ctx, name); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	}
}

func TestOnAServer(t *testing.T) {
	t.Parallel()
	if os.Getenv(serverVariable) == "" {
		if slices.Contains(strings.Split(os.Getenv(requireVariable), ","), "qdrant") {
			t.Fatalf("%s names qdrant, but %s is not set", requireVariable, serverVariable)
		}
		t.Skipf("%s is not set; the stand-in has to do", serverVariable)
	}
	scoped := open(t, onServer(t)).IDFScope() == "tenant and collections"
	t.Run("contract", func(t *testing.T) {
		t.Parallel()
		vectortest.Run(t, func(t *testing.T) vector.Store { return open(t, onServer(t)) },
			vectortest.Caps{ScopedIDF: scoped, SharedIDF: !scoped, Tolerance: 1e-5})
	})
	t.Run("both stores rank alike", func(t *testing.T) {
		t.Parallel()
		if !scoped {
			t.Skip("the server weighs keywords over all tenants")
		}
		cfg := onServer(t)
		cfg.Grace = time.Millisecond
		vectortest.Agree(t, embedded(t), open(t, cfg))
	})
	t.Run("rebuild", func(t *testing.T) {
		t.Parallel()
		cfg := onServer(t)
		r, s := filled(t, cfg)
		before := hybrid(t, s, "fox 7", "group:x")
		report, err := qdrantvector.Reindex(t.Context(), cfg, r)
		if err != nil || !strings.HasSuffix(report.Collection, "_2") {
			t.Fatalf("%+v, %v", report, err)
		}
		after := hybrid(t, s, "fox 7", "group:x")
		expect(t, "hits", idsOf(before), idsOf(after))
		compareWithRecord(t, r, s)
	})
}
