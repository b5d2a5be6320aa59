package embeddedvector

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ragbus/ragbus/pkg/lexical"
	"github.com/ragbus/ragbus/pkg/vector"
)

const (
	// loadUnit is how many documents a loading worker takes at a time at
	// most, and loadShares how many turns each worker gets at least: few
	// documents may be large ones.
	loadUnit   = 256
	loadShares = 8
	// loadSegment is the size at which it finishes a segment.
	loadSegment = largestMerge
	// manyLoaded is the number of chunks from which on memory is returned after loading.
	manyLoaded = 1000
)

const chunkColumns = `key, language, length, words, english, terms, dense`

// scanRow reads a row of chunkColumns. The blobs are valid until the next row.
func scanRow(rows *sql.Rows) (int64, row, error) {
	var key int64
	var language uint8
	var r row
	var terms, dense sql.RawBytes
	if err := rows.Scan(&key, &language, &r.length, &r.words, &r.english, &terms, &dense); err != nil {
		return 0, r, fmt.Errorf("read a chunk: %w", err)
	}
	r.ordinal = uint32(key & maxOrdinal)
	r.language, r.terms, r.dense = lexical.Language(language), terms, dense
	return key >> ordinalBits, r, nil
}

// readVersion builds the segment of one version from its rows and returns the
// revision that it reflects (0 when nothing was written).
func (s *Store) readVersion(ctx context.Context, doc vector.Document, a *attributes) (*segment, int64, error) {
	var version, revision int64
	err := s.reader.QueryRowContext(ctx, `select v.key, v.revision from document d join version v on v.document = d.key
		where d.tenant = ? and d.id = ? and v.version = ?`, doc.Tenant, doc.ID, doc.Version).Scan(&version, &revision)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, 0, fmt.Errorf("find the version: %w", err)
	}
	b := newBuilder(s.cfg.Dimensions)
	d := &document{id: doc.ID, version: doc.Version, collection: doc.Collection}
	d.attributes.Store(a)
	b.open(d)
	rows, err := s.reader.QueryContext(ctx, `select `+chunkColumns+` from chunk where key between ? and ? order by key`,
		version<<ordinalBits, version<<ordinalBits|maxOrdinal)
	if err != nil {
		return nil, 0, fmt.Errorf("read the version: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		_, r, err := scanRow(rows)
		if err != nil {
			return nil, 0, err
		}
		if err := b.add(r); err != nil {
			return nil, 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the version: %w", err)
	}
	return b.finish(), revision, nil
}

// pending is a live version that is not in memory yet.
type pending struct {
	key    int64
	tenant string
	doc    *document
}

// load reads every live version into memory: the versions are cut into runs
// of neighbouring keys, which workers turn into segments.
func (s *Store) load(ctx context.Context) error {
	start := time.Now()
	versions, err := s.liveVersions(ctx)
	if err != nil {
		return fmt.Errorf("load the search index: %w", err)
	}
	s.expected.Store(int64(len(versions)))
	workers := min(runtime.GOMAXPROCS(0), 8)
	unit := min(max(1, len(versions)/(workers*loadShares)), loadUnit)
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error {
			l := loader{store: s, builders: make(map[place]*builder)}
			for {
				from := int(next.Add(int64(unit))) - unit
				if from >= len(versions) {
					l.finish()
					return nil
				}
				if err := l.read(ctx, versions[from:min(from+unit, len(versions))]); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("load the search index: %w", err)
	}
	stats := s.Stats()
	if stats.Chunks >= manyLoaded {
		s.returnMemory(workers)
	}
	s.log.InfoContext(ctx, "search index loaded", slog.Int("documents", stats.Documents), slog.Int("chunks", stats.Chunks),
		slog.Int("bytes", stats.Bytes), slog.Duration("took", time.Since(start)))
	s.warnWhenLarge(ctx)
	return nil
}

// returnMemory gives what loading needed and nobody will need again back to
// the operating system. What is left behind is as large as the index, and a
// process that waits for its first question allocates nothing, so that no
// collection would find it for two minutes.
func (s *Store) returnMemory(connections int) {
	s.reader.SetMaxIdleConns(0) // the pages they have read go with the connections
	s.reader.SetMaxIdleConns(connections)
	debug.FreeOSMemory()
}

func (s *Store) liveVersions(ctx context.Context) ([]pending, error) {
	rows, err := s.reader.QueryContext(ctx, `select v.key, d.tenant, d.id, d.collection, v.version, d.attributes
		from document d join version v on v.key = d.live order by v.key`)
	if err != nil {
		return nil, fmt.Errorf("list live versions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []pending
	same := make(map[string]*attributes)
	for rows.Next() {
		p := pending{doc: &document{}}
		var text string
		if err := rows.Scan(&p.key, &p.tenant, &p.doc.id, &p.doc.collection, &p.doc.version, &text); err != nil {
			return nil, fmt.Errorf("list live versions: %w", err)
		}
		a := same[text]
		if a == nil {
			if a, err = decodeAttributes(text); err != nil {
				return nil, err
			}
			same[text] = a
		}
		p.doc.attributes.Store(a)
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list live versions: %w", err)
	}
	return out, nil
}

// loader is one worker of the loading.
type loader struct {
	store    *Store
	builders map[place]*builder
}

// read adds the versions, which are in ascending order of key, to the builders.
func (l *loader) read(ctx context.Context, versions []pending) error {
	rows, err := l.store.reader.QueryContext(ctx, `select `+chunkColumns+` from chunk where key between ? and ? order by key`,
		versions[0].key<<ordinalBits, versions[len(versions)-1].key<<ordinalBits|maxOrdinal)
	if err != nil {
		return fmt.Errorf("read chunks: %w", err)
	}
	defer func() { _ = rows.Close() }()
	at := -1
	var b *builder
	for rows.Next() {
		key, r, err := scanRow(rows)
		if err != nil {
			return err
		}
		for at+1 < len(versions) && versions[at+1].key <= key {
			at++
			b = l.open(versions[at])
		}
		if at < 0 || versions[at].key != key {
			continue // a dark version between live ones
		}
		if err := b.add(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read chunks: %w", err)
	}
	for at++; at < len(versions); at++ {
		l.open(versions[at])
	}
	l.store.progress.Add(int64(len(versions)))
	return nil
}

func (l *loader) open(p pending) *builder {
	at := place{p.tenant, p.doc.collection}
	b := l.builders[at]
	if b != nil && b.seg.size() >= loadSegment {
		l.show(at, b)
		b = nil
	}
	if b == nil {
		b = newBuilder(l.store.cfg.Dimensions)
		l.builders[at] = b
	}
	b.open(p.doc)
	return b
}

func (l *loader) show(at place, b *builder) {
	l.store.tenant(at.tenant).show(at.collection, b.finish())
	l.store.merges.add(at)
}

func (l *loader) finish() {
	for at, b := range l.builders {
		l.show(at, b)
	}
}
