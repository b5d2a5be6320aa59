// Package embeddedvector is the vector store inside the process. Documents'
// chunks go in; SQLite rows are the durable truth; memory holds, for each
// tenant and collection, an inverted index and an exact dense scan over the
// live versions only.
//
// Memory is made of immutable segments under an atomic pointer. A search
// loads the pointer once and works on that state; it takes no lock, waits for
// no write and is not disturbed by one. A write commits its rows and then
// replaces the pointer, in one step, before it returns. Small segments are
// merged in the background.
package embeddedvector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

// manyChunks is where an exact scan in this process stops being a good idea.
const manyChunks = 200_000

var _ vector.Store = (*Store)(nil)

// Config says where the index lives and which embedding space it holds.
type Config struct {
	// Path of the database file; its directory exists. One process at a time
	// may use it: the caller holds the lock of the data directory.
	Path string
	// Dimensions of every vector.
	Dimensions int
	// ProfileKey is the embedding profile's key.
	ProfileKey string
	Logger     *slog.Logger
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Path == "" {
		errs = append(errs, errors.New("embeddedvector: path is empty"))
	}
	if c.Dimensions < 1 || c.Dimensions > 16384 {
		errs = append(errs, fmt.Errorf("embeddedvector: %d dimensions; use 1 to 16384", c.Dimensions))
	}
	if c.ProfileKey == "" {
		errs = append(errs, errors.New("embeddedvector: profile key is empty"))
	}
	if c.Logger == nil {
		errs = append(errs, errors.New("embeddedvector: logger is missing"))
	}
	return errors.Join(errs...)
}

// Store implements [vector.Store]. Use [Open].
type Store struct {
	cfg    Config
	log    *slog.Logger
	words  *lexical.Analyzer
	writer *sql.DB // one connection: its holder is the only writer
	reader *sql.DB

	tenantsMu sync.RWMutex
	tenants   map[string]*tenant

	runs sync.Pool

	// loaded is closed when loading has ended; failure says how, and may be read then.
	loaded   chan struct{}
	failure  error
	progress atomic.Int64
	expected atomic.Int64

	merges  *mergeQueue
	stop    context.CancelFunc
	running sync.WaitGroup
	closed  atomic.Bool
	warned  atomic.Bool
}

// Open opens the index, or creates it, and returns while it is still being
// read into memory in the background: [Store.Ready] says when that is done,
// and until then searches are refused with a Transient fault "index_loading"
// and writes wait. A file of another embedding profile, number of dimensions
// or analysis is refused with a Permanent fault that says what to do.
//
// ctx bounds opening only; [Store.Close] ends the rest.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := private(cfg.Path); err != nil {
		return nil, err
	}
	writer, err := sql.Open("sqlite", dataSource(cfg.Path, false))
	if err != nil {
		return nil, fmt.Errorf("open the vector index: %w", err)
	}
	writer.SetMaxOpenConns(1)
	if err := prepare(ctx, writer, cfg); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := sql.Open("sqlite", dataSource(cfg.Path, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the vector index: %w", err), writer.Close())
	}
	reader.SetMaxOpenConns(max(4, runtime.GOMAXPROCS(0)+1))
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Store{
		cfg: cfg, log: cfg.Logger, words: lexical.New(), writer: writer, reader: reader,
		tenants: make(map[string]*tenant), loaded: make(chan struct{}), merges: newMergeQueue(), stop: stop,
	}
	s.running.Go(func() {
		s.failure = s.load(background)
		close(s.loaded)
		switch {
		case s.failure == nil:
			s.mergeUntil(background)
		case background.Err() == nil:
			s.log.ErrorContext(background, "the search index did not load", slog.Any("error", s.failure))
		}
	})
	return s, nil
}

// Close waits for what runs in the background, writes the log back into the
// database file and closes it. Calls after it fail. It is idempotent.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.stop()
	s.running.Wait()
	if err := errors.Join(s.reader.Close(), s.writer.Close()); err != nil {
		return fmt.Errorf("close the vector index: %w", err)
	}
	return nil
}

// Ready returns nil when the index is in memory. While it is being loaded it
// returns a Transient fault "index_loading" with the progress.
func (s *Store) Ready(context.Context) error {
	if s.closed.Load() {
		return errClosed()
	}
	select {
	case <-s.loaded:
		return s.failure
	default:
		return fault.Transientf("index_loading", "the search index is loading: %d of %d documents", s.progress.Load(), s.expected.Load())
	}
}

func errClosed() error {
	return fault.Transientf("index_closed", "the search index is closed")
}

// awaitLoaded waits until memory is complete, so that a write finds what it replaces.
func (s *Store) awaitLoaded(ctx context.Context) error {
	if s.closed.Load() {
		return errClosed()
	}
	select {
	case <-s.loaded:
		return s.failure
	case <-ctx.Done():
		return fmt.Errorf("wait for the search index to load: %w", ctx.Err())
	}
}

// tenant returns the named tenant, made when absent.
func (s *Store) tenant(name string) *tenant {
	if t := s.knownTenant(name); t != nil {
		return t
	}
	s.tenantsMu.Lock()
	defer s.tenantsMu.Unlock()
	t := s.tenants[name]
	if t == nil {
		t = newTenant()
		s.tenants[name] = t
	}
	return t
}

func (s *Store) knownTenant(name string) *tenant {
	s.tenantsMu.RLock()
	defer s.tenantsMu.RUnlock()
	return s.tenants[name]
}

// Stats describes what memory holds.
type Stats struct {
	Documents int
	Chunks    int
	Segments  int
	// Bytes is the size of the segments, without allocator overhead.
	Bytes int
}

// Stats returns totals over all tenants.
func (s *Store) Stats() Stats {
	s.tenantsMu.RLock()
	defer s.tenantsMu.RUnlock()
	var out Stats
	for _, t := range s.tenants {
		for _, c := range *t.view.Load() {
			out.Chunks += c.chunks
			out.Segments += len(c.parts)
			for _, p := range c.parts {
				out.Documents += len(p.documents)
				out.Bytes += p.bytes()
			}
		}
	}
	return out
}

// warnWhenLarge says once that the index has outgrown this store.
func (s *Store) warnWhenLarge(ctx context.Context) {
	if s.warned.Load() {
		return
	}
	if n := s.Stats().Chunks; n > manyChunks && !s.warned.Swap(true) {
		s.log.WarnContext(ctx, "the embedded search index is large: searches scan every chunk; use Qdrant (RAGBUS_VECTOR_URL) beyond this size",
			slog.Int("chunks", n), slog.Int("limit", manyChunks))
	}
}

// private creates the file when it is not there, for its owner alone: it
// holds the words of every document.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator's own path
	if err != nil {
		return fmt.Errorf("open the vector index: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("open the vector index: %w", err)
	}
	return nil
}
