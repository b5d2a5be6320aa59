package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
)

// TestAServerWithKeysAnswersThoseWhoHaveOne goes through all four services,
// signatures on the bus included, with keys made beside the running server.
func TestAServerWithKeysAnswersThoseWhoHaveOne(t *testing.T) {
	t.Parallel()
	set := vars(t)
	set["RAGBUS_AUTH"], set["RAGBUS_HTTP_ADDR"] = "keys", "[::]:0"
	cfg, err := config.Load[Config](set)
	if err != nil {
		t.Fatal(err)
	}
	embedder, err := scriptembed.New(scriptembed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), cfg, Parts{Embedder: embedder}, "v1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := errors.Join(<-done, s.Close(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	stranger := caller(t, s, "")
	if err := Ready(t.Context(), stranger); err != nil {
		t.Fatal(err)
	}
	var refused *client.Problem
	if err := stranger.Do(t.Context(), http.MethodGet, "/v1/documents", nil, nil, nil); !errors.As(err, &refused) || refused.Code != "unauthenticated" {
		t.Fatalf("a stranger gets %v", err)
	}
	reader := caller(t, s, key(t, set, access.Key{Tenant: "acme", Principals: []string{"group:staff"}}))
	outsider := caller(t, s, key(t, set, access.Key{Tenant: "acme", Owner: "outsider"}))
	other := caller(t, s, key(t, set, access.Key{Tenant: "other", Principals: []string{"group:staff"}}))
	var doc client.Document
	upload := map[string]any{"text": "Probation lasts three months. The notice period is two weeks.", "id": "handbook", "acl": []string{"group:staff"}}
	if err := reader.Do(t.Context(), http.MethodPost, "/v1/documents", nil, upload, &doc); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); doc.Status != "indexed"; {
		if time.Now().After(end) || doc.Status == "failed" {
			t.Fatalf("%+v", doc)
		}
		doc = client.Document{}
		if err := reader.Do(t.Context(), http.MethodGet, "/v1/documents/handbook", map[string][]string{"wait": {"10s"}}, nil, &doc); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		client *client.Client
		sees   bool
	}{"a reader": {reader, true}, "one who shares no principal": {outsider, false}, "another tenant": {other, false}} {
		var found struct {
			Passages []map[string]any `json:"passages"`
		}
		if err := c.client.Do(t.Context(), http.MethodPost, "/v1/search", nil, map[string]any{"query": "probation"}, &found); err != nil || (len(found.Passages) > 0) != c.sees {
			t.Errorf("%s finds %v, %v", name, found.Passages, err)
		}
		var answer struct {
			Status  string           `json:"status"`
			Sources []map[string]any `json:"sources"`
		}
		if err := c.client.Do(t.Context(), http.MethodPost, "/v1/chat", nil, map[string]any{"question": "How long does probation last?"}, &answer); err != nil ||
			answer.Status != "completed" || (len(answer.Sources) > 0) != c.sees {
			t.Errorf("%s is answered %+v, %v", name, answer, err)
		}
	}
	secret, err := os.Stat(filepath.Join(set["RAGBUS_DATA_DIR"], secretFile))
	if err != nil || secret.Mode().Perm() != 0o600 {
		t.Errorf("the secret of the bus: %v %v", secret, err)
	}
}

func caller(t *testing.T, s *Server, bearer string) *client.Client {
	t.Helper()
	c, err := client.New(strings.Replace(s.URL(), "[::]", "127.0.0.1", 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Authorize(bearer)
	return c
}

// key makes a key as the command does, on the record of a running server.
func key(t *testing.T, set config.Vars, k access.Key) (bearer string) {
	t.Helper()
	k.Name, k.Scopes = "test", access.NewScopes(access.Chat, access.DocumentsWrite)
	err := operator(set).Keys(t.Context(), true, func(ctx context.Context, keys access.Keys) error {
		k, digest, made, err := access.Issue(k, time.Now())
		bearer = made
		return errors.Join(err, keys.Create(ctx, k, digest))
	})
	if err != nil {
		t.Fatal(err)
	}
	return bearer
}
