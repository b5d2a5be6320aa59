package storm

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
)

// serve is `ragbus serve`: one process with everything in it, over one folder.
type serve struct {
	dir    string
	data   string
	cfg    Config
	keys   []keys
	admin  string
	models *models
	found  *findings

	child *stack.Child
	bus   *bus
}

func newServe(dir string, cfg Config, m *models, found *findings) *serve {
	return &serve{dir: dir, data: filepath.Join(dir, "data"), cfg: cfg, models: m, found: found}
}

func (s *serve) start(ctx context.Context) error {
	at, err1 := stack.FreeAddress(ctx)
	bus, err2 := stack.FreeAddress(ctx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	s.child = &stack.Child{
		Name: "ragbus serve", Path: filepath.Join(s.cfg.Tools, "ragbus"), Args: []string{"serve"}, Dir: s.dir, Probe: "http://" + at + "/readyz",
		Vars: []string{
			"RAGBUS_DATA_DIR", s.data, "RAGBUS_HTTP_ADDR", at, "RAGBUS_NATS_LISTEN", bus, "RAGBUS_LOG_LEVEL", "warn", "RAGBUS_LOG_FORMAT", "text",
			"RAGBUS_CHAT_STORAGE", "file", "RAGBUS_ACK_WAIT", "2s", "RAGBUS_INGEST_LEASE", "5s", "RAGBUS_SWEEP_INTERVAL", "1s", "RAGBUS_PULL_WAIT", "1s",
			"RAGBUS_EMBEDDER", "openai", "RAGBUS_OPENAI_BASE_URL", "http://" + s.models.embedderAt + "/v1/", "OPENAI_API_KEY", stack.ModelKey,
			// What the broker keeps in memory for readers who come back is not to be taken for a leak.
			"RAGBUS_FRAMES_MAX_AGE", "1m",
			"RAGBUS_LLM", "anthropic", "ANTHROPIC_API_KEY", stack.ModelKey, "RAGBUS_ANTHROPIC_BASE_URL", "http://" + s.models.writerAt,
		},
	}
	var err error
	if s.keys, s.admin, err = issue(ctx, filepath.Join(s.cfg.Tools, "ragbus"), s.dir, s.cfg.Tenants, "RAGBUS_DATA_DIR", s.data); err != nil {
		return err
	}
	if s.cfg.Tenants > 1 {
		s.child.Vars = append(s.child.Vars, "RAGBUS_AUTH", "keys", "RAGBUS_BUS_SECRET", busSecret)
	}
	if err := begin(ctx, s.child); err != nil {
		return err
	}
	s.bus, err = openBus("nats://"+bus, s.cfg.Seed, s.found)
	return err
}

func (s *serve) tenants() []keys { return s.keys }

func (s *serve) said(word string) []string { return s.child.Log.Lines(word) }

func (s *serve) among() int { return s.cfg.Tenants }

func (s *serve) gateways() []string { return []string{strings.TrimSuffix(s.child.Probe, "/readyz")} }

func (s *serve) faults() []fault {
	everything := []string{hitEverything}
	out := disturb(s.found, s.child, "ragbus serve", 3)
	for i := range out {
		out[i].hits = everything
	}
	out = append(out, fault{kind: "SIGKILL ragbus serve while it starts", target: s.child.Name, weight: 8, hits: everything, strokes: 1 + killsWhileStarting, run: s.killWhileStarting})
	out = append(out, s.bus.faults()...)
	return append(out, s.models.faults()...)
}

// killsWhileStarting is how often a process that starts is killed at most.
const killsWhileStarting = 3

// killWhileStarting kills the process, and again some times before it is
// ready, or a moment after: then it has begun to work.
func (s *serve) killWhileStarting(ctx context.Context, rnd *rand.Rand) error {
	times := 1 + rnd.IntN(killsWhileStarting)
	var after []time.Duration
	for range times {
		after = append(after, time.Duration(rnd.IntN(400))*time.Millisecond)
	}
	s.child.Kill()
	for _, d := range after {
		if err := s.child.Launch(); err != nil {
			return err
		}
		pause(ctx, d)
		s.child.Kill()
	}
	return bringBack(ctx, s.child)
}

func (s *serve) heal(ctx context.Context) error {
	if err := s.models.heal(); err != nil {
		return err
	}
	if text := ended(s.child); text != "" {
		s.found.violatef(6, nil, "%s", text)
	}
	return bringBack(ctx, s.child)
}

func (s *serve) stores(context.Context) (*stores, error) {
	open := func(name string) (*sql.DB, error) {
		q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)", "query_only(1)"}}
		db, err := sql.Open("sqlite", "file:"+filepath.Join(s.data, name)+"?"+q.Encode())
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", name, err)
		}
		return db, nil
	}
	records, err := open("ragbus.db")
	if err != nil {
		return nil, err
	}
	index, err := open("index.db")
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return &stores{
		db: records, js: s.bus.js,
		points: func(ctx context.Context) ([]point, error) { return sqlitePoints(ctx, index) },
		blobs:  func(context.Context) (map[string]bool, error) { return fileBlobs(filepath.Join(s.data, "blobs")) },
		close:  func() { _ = errors.Join(records.Close(), index.Close()) },
	}, nil
}

// sqlitePoints reads every chunk of the embedded index: the key of a chunk is
// that of its version, then 20 bits of its ordinal.
func sqlitePoints(ctx context.Context, db *sql.DB) ([]point, error) {
	var out []point
	st := &stores{db: db}
	err := st.each(ctx, "select d.tenant || '/' || d.id, v.version, c.key & 1048575 from chunk c join version v on v.key = c.key >> 20 join document d on d.key = v.document",
		func(scan func(...any) error) error {
			var p point
			err := scan(&p.document, &p.version, &p.ordinal)
			out = append(out, p)
			return err
		})
	return out, err
}

// fileBlobs lists the keys in a folder of blobs.
func fileBlobs(dir string) (map[string]bool, error) {
	out := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil && filepath.Ext(rel) == "" { // beside each blob its attributes
			out[filepath.ToSlash(rel)] = true
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the blobs: %w", err)
	}
	return out, nil
}

func (s *serve) usage(ctx context.Context) []usage {
	return []usage{used(ctx, s.child.Name, s.child.PID(), s.gateways()[0]+"/metrics", s.admin)}
}

func (s *serve) injected() map[string]bool { return s.bus.injected() }

func (s *serve) complaints() []string { return nil }

func (s *serve) stop() {
	if s.child != nil {
		s.child.Kill()
	}
	if s.bus != nil {
		s.bus.close()
	}
}
