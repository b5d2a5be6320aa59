package qdrantvector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"

	"github.com/ragbus/ragbus/pkg/coalesce"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

// Releases of the server: the oldest that can change a point on a condition,
// and the oldest that computes IDF over a part of a collection.
const (
	oldestMinor = 16
	scopedMinor = 19
)

var _ vector.Store = (*Store)(nil)

// Store implements [vector.Store]. Use [Open].
type Store struct {
	cfg     Config
	log     *slog.Logger
	client  *client
	names   names
	words   *lexical.Analyzer
	version string
	// scopedIDF is set when the server computes IDF over a query's tenant and collections.
	scopedIDF bool
	// queries are those of searches of the same time, each in its place.
	queries *coalesce.Calls[[]*qdrant.QueryPoints, [][]point]
	leans   *leans
	heads   *heads
	now     func() time.Time
}

// Open connects to the server, makes the profile's collection when there is
// none, and checks it. A server that does not answer, a key that is refused, a
// server that is too old and a collection of another model, dimension or
// distance are Permanent faults whose message names the setting.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(atStart(err), s.Close())
	}
	if !s.scopedIDF {
		s.log.WarnContext(ctx, "this Qdrant server weighs keywords over all tenants together: use 1.19 or later", slog.String("version", s.version))
	}
	return s, nil
}

// connect returns a store whose collection was not looked at.
func connect(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c, err := dial(e, cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, log: cfg.Logger, client: c, names: namesOf(e.prefix, cfg.ProfileKey), words: lexical.New(), leans: newLeans(), heads: newHeads(), now: time.Now,
	}
	s.queries = coalesce.New(coalesce.Limits{Most: searchesTogether, Width: maxRequests, Patience: patience}, s.together)
	if cfg.APIKey != "" && !e.tls {
		s.log.WarnContext(ctx, "the key for Qdrant travels unencrypted: use qdrants:// in RAGBUS_VECTOR_URL")
	}
	if err := s.readVersion(ctx); err != nil {
		return nil, errors.Join(atStart(err), s.Close())
	}
	return s, nil
}

func (s *Store) readVersion(ctx context.Context) error {
	reply, err := s.client.service().HealthCheck(ctx, &qdrant.HealthCheckRequest{})
	if err != nil {
		return err //nolint:wrapcheck // a fault of the client
	}
	s.version = reply.GetVersion()
	major, minor, ok := release(s.version)
	if !ok || major == 1 && minor < oldestMinor || major < 1 {
		return fault.Permanentf("vector_store_too_old", "RAGBUS_VECTOR_URL: the Qdrant server is %q; use 1.%d or later", s.version, oldestMinor)
	}
	s.scopedIDF = major > 1 || minor >= scopedMinor
	return nil
}

func release(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 3 {
		return 0, 0, false
	}
	major, majorErr := strconv.Atoi(parts[0])
	minor, minorErr := strconv.Atoi(parts[1])
	return major, minor, majorErr == nil && minorErr == nil
}

// atStart turns what the client found into one line that names the setting.
func atStart(err error) error {
	switch code := codeOf(err); code {
	case codes.Unauthenticated, codes.PermissionDenied:
		return fault.Permanentf("vector_store_denied", "RAGBUS_QDRANT_API_KEY: Qdrant refuses the key, or wants one").WithCause(err)
	case codes.Unavailable, codes.DeadlineExceeded:
		hint := ""
		if text := err.Error(); strings.Contains(text, "tls:") || strings.Contains(text, "reading server preface") || strings.Contains(text, "error reading from server: EOF") {
			hint = "; use qdrants:// for an encrypted port and qdrant:// for a plain one"
		}
		return fault.Permanentf("vector_store_unreachable", "RAGBUS_VECTOR_URL: no Qdrant server answers there (its gRPC port is 6334)%s", hint).WithCause(err)
	case codes.Unimplemented, codes.Unknown, codes.Internal:
		if _, message := fault.Public(err); code == codes.Unimplemented || strings.Contains(message, "failed") {
			return fault.Permanentf("vector_store_unreachable", "RAGBUS_VECTOR_URL: what answers there is no Qdrant server (its gRPC port is 6334)").WithCause(err)
		}
	default:
	}
	return err
}

// Close ends the connections. Calls after it fail. It is idempotent.
func (s *Store) Close() error {
	if err := s.client.close(); err != nil {
		return fmt.Errorf("close the connections to Qdrant: %w", err)
	}
	return nil
}

// prepare makes the first collection and its alias, or checks those that exist.
func (s *Store) prepare(ctx context.Context) error {
	known, err := s.aliases(ctx)
	if err != nil {
		return err
	}
	if current := known.current; current != "" {
		return s.verify(ctx, current)
	}
	if known.next != "" {
		return nil // a rebuild after a total loss is under way
	}
	first := s.names.collection(1)
	if err := s.create(ctx, first); err != nil {
		return err
	}
	if err := s.verify(ctx, first); err != nil {
		return err
	}
	if err := s.point(ctx, s.names.alias, first); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "made the search index", slog.String("collection", first), slog.String("alias", s.names.alias))
	return nil
}

// point lets an alias stand for a collection.
func (s *Store) point(ctx context.Context, alias, collection string) error {
	_, err := s.client.collections().UpdateAliases(ctx, &qdrant.ChangeAliases{Actions: []*qdrant.AliasOperations{
		qdrant.NewAliasCreate(alias, collection),
	}})
	if err != nil {
		return fmt.Errorf("let %s stand for %s: %w", alias, collection, err)
	}
	return nil
}

// targets are the collections that hold the index now.
type targets struct {
	// current is what searches see, "" after a loss.
	current string
	// next is being filled to replace it, "" otherwise.
	next string
}

func (s *Store) aliases(ctx context.Context) (targets, error) {
	list, err := s.client.collections().ListAliases(ctx, &qdrant.ListAliasesRequest{})
	if err != nil {
		return targets{}, fmt.Errorf("list the aliases: %w", err)
	}
	var t targets
	for _, a := range list.GetAliases() {
		switch a.GetAliasName() {
		case s.names.alias:
			t.current = a.GetCollectionName()
		case s.names.next:
			t.next = a.GetCollectionName()
		}
	}
	return t, nil
}

// Ready implements [vector.Store]: the server answers, takes the key, and has the index.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.verifyMarker(ctx, s.names.alias); err != nil {
		return fmt.Errorf("look at the search index: %w", err)
	}
	return nil
}

// Health is what an operator wants to know of the index.
type Health struct {
	// Version of the server.
	Version string `json:"version"`
	// Alias that searches use, Collection that it stands for, and Rebuilding
	// the collection that is being filled to replace it, if any.
	Alias      string `json:"alias"`
	Collection string `json:"collection"`
	Rebuilding string `json:"rebuilding,omitempty"`
	// Status is the server's word for the collection: green, yellow, grey or red.
	Status string `json:"status"`
	// Points includes dark ones and one for each document.
	Points uint64 `json:"points"`
	// IDFScope is [IDFScope].
	IDFScope string `json:"idf_scope"`
}

// Health asks the server.
func (s *Store) Health(ctx context.Context) (Health, error) {
	known, err := s.aliases(ctx)
	if err != nil {
		return Health{}, err
	}
	h := Health{Version: s.version, Alias: s.names.alias, Collection: known.current, Rebuilding: known.next, IDFScope: s.IDFScope()}
	answer, err := s.client.collections().Get(ctx, &qdrant.GetCollectionInfoRequest{CollectionName: s.names.alias})
	if err != nil {
		return h, fmt.Errorf("describe the search index: %w", err)
	}
	h.Status, h.Points = strings.ToLower(answer.GetResult().GetStatus().String()), answer.GetResult().GetPointsCount()
	return h, nil
}

// IDFScope says over what the rarity of a word is computed: "tenant and
// collections", or "all tenants" on servers before 1.19, where the documents
// of one tenant move the scores, not the visibility, of another's.
func (s *Store) IDFScope() string {
	if s.scopedIDF {
		return "tenant and collections"
	}
	return "all tenants"
}
