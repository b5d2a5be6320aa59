package sqlcatalog

import (
	"context"
	"fmt"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// advance moves the document that ref names, when it is in one of the states.
func (s *Store) advance(ctx context.Context, ref catalog.Ref, what string, states []corpus.Status,
	move func(ctx context.Context, tx *sqldb.Tx, r *row) error,
) (*row, error) {
	return advanceIn(ctx, s.alone(ref.Tenant, ref.ID), ref, what, states, move)
}

// advanceIn is advance in a scope, which is alone with the document.
func advanceIn(ctx context.Context, turn sqldb.Scope, ref catalog.Ref, what string, states []corpus.Status,
	move func(ctx context.Context, tx *sqldb.Tx, r *row) error,
) (r *row, err error) {
	err = turn.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if r, err = fenced(ctx, tx, ref, states...); err != nil {
			return err
		}
		return move(ctx, tx, r)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return r, nil
}

// Begin implements [catalog.Store].
func (s *Store) Begin(ctx context.Context, ref catalog.Ref) (corpus.Document, string, error) {
	r, err := s.advance(ctx, ref, "begin extraction", []corpus.Status{corpus.Accepted, corpus.Extracting},
		func(ctx context.Context, tx *sqldb.Tx, r *row) error {
			r.Status = corpus.Extracting
			return s.save(ctx, tx, r)
		})
	if err != nil {
		return corpus.Document{}, "", err
	}
	return r.Document, r.blobKey, nil
}

// sliceSize is how many rows one write changes at most, so that the writes of
// a large document let those of a chat through.
const sliceSize = 128

const insertChunk = `insert into chunks (tenant, document, version, ordinal, page, char_start, char_end, section, body)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
	on conflict (tenant, document, version, ordinal) do update set
	page = excluded.page, char_start = excluded.char_start, char_end = excluded.char_end, section = excluded.section, body = excluded.body`

// PutChunks implements [catalog.Store].
func (s *Store) PutChunks(ctx context.Context, ref catalog.Ref, chunks []corpus.Chunk) error {
	for done := false; !done; {
		slice := chunks[:min(len(chunks), sliceSize)]
		chunks = chunks[len(slice):]
		done = len(chunks) == 0
		_, err := s.advance(ctx, ref, "store chunks", []corpus.Status{corpus.Extracting},
			func(ctx context.Context, tx *sqldb.Tx, r *row) error {
				if err := s.save(ctx, tx, r); err != nil {
					return err
				}
				return putChunks(ctx, tx, r, slice)
			})
		if err != nil {
			return err
		}
	}
	return nil
}

func putChunks(ctx context.Context, tx *sqldb.Tx, r *row, chunks []corpus.Chunk) error {
	rows := make([][]any, len(chunks))
	for i, c := range chunks {
		if c.Ordinal < 0 || c.Tenant != r.Tenant || c.Document != r.ID || c.Version != r.SHA256 {
			return fault.Permanentf("chunk_mismatch", "a chunk does not belong to the generation that is being extracted")
		}
		rows[i] = []any{r.Tenant, r.ID, r.SHA256, c.Ordinal, c.Page, c.CharStart, c.CharEnd, c.Section, c.Text}
	}
	if err := tx.ExecAll(ctx, insertChunk, rows); err != nil {
		return fmt.Errorf("insert chunks: %w", err)
	}
	return nil
}

const (
	countChunks  = "select count(*) from chunks where tenant = $1 and document = $2 and version = $3 and ordinal < $4"
	dropBeyond   = "delete from chunks where tenant = $1 and document = $2 and version = $3 and ordinal >= $4"
	insertBatch  = `insert into batches (tenant, document, generation, number, first_ordinal, end_ordinal, done) values ($1, $2, $3, $4, $5, $6, 0)`
	finishBatch  = "update batches set done = 1 where tenant = $1 and document = $2 and generation = $3 and number = $4 and done = 0 returning end_ordinal - first_ordinal"
	selectBatch  = "select done from batches where tenant = $1 and document = $2 and generation = $3 and number = $4"
	selectOpen   = "select number, first_ordinal, end_ordinal from batches where tenant = $1 and document = $2 and generation = $3 and done = 0 order by number"
	countOpen    = "select count(*) from batches where tenant = $1 and document = $2 and generation = $3 and done = 0"
	chunkColumns = "document, version, ordinal, page, char_start, char_end, section, body"
	selectRange  = "select " + chunkColumns + " from chunks where tenant = $1 and document = $2 and version = $3 and ordinal >= $4 and ordinal < $5 order by ordinal"
)

// Extracted implements [catalog.Store].
func (s *Store) Extracted(ctx context.Context, ref catalog.Ref, x catalog.Extraction) (corpus.Document, []catalog.Batch, error) {
	var open []catalog.Batch
	r, err := s.advance(ctx, ref, "finish extraction", []corpus.Status{corpus.Extracting, corpus.Embedding},
		func(ctx context.Context, tx *sqldb.Tx, r *row) (err error) {
			if r.Status == corpus.Extracting {
				if err := s.plan(ctx, tx, r, x); err != nil {
					return err
				}
			}
			open, err = openBatches(ctx, tx, r)
			return err
		})
	if err != nil {
		return corpus.Document{}, nil, err
	}
	return r.Document, open, nil
}

// plan records what was extracted and divides it into batches.
func (s *Store) plan(ctx context.Context, tx *sqldb.Tx, r *row, x catalog.Extraction) error {
	var stored int
	if _, err := tx.One(ctx, countChunks, []any{r.Tenant, r.ID, r.SHA256, x.Chunks}, &stored); err != nil {
		return fmt.Errorf("count chunks: %w", err)
	}
	if stored != x.Chunks {
		return fault.Permanentf("chunks_missing", "%d of the document's %d chunks are stored", stored, x.Chunks)
	}
	if _, err := tx.Exec(ctx, dropBeyond, r.Tenant, r.ID, r.SHA256, x.Chunks); err != nil {
		return fmt.Errorf("drop chunks beyond the last: %w", err)
	}
	var batches [][]any
	for from := 0; from < x.Chunks; from += catalog.BatchSize {
		batches = append(batches, []any{r.Tenant, r.ID, r.Generation, len(batches), from, min(from+catalog.BatchSize, x.Chunks)})
	}
	if err := tx.ExecAll(ctx, insertBatch, batches); err != nil {
		return fmt.Errorf("insert batches: %w", err)
	}
	r.Status = corpus.Embedding
	r.foundTitle, r.Chunks, r.Pages, r.Warnings = x.Title, x.Chunks, x.Pages, x.Warnings
	if x.MediaType != "" {
		r.MediaType = x.MediaType
	}
	return s.save(ctx, tx, r)
}

func openBatches(ctx context.Context, tx *sqldb.Tx, r *row) ([]catalog.Batch, error) {
	return readBatches(ctx, tx, selectOpen, r.Tenant, r.ID, r.Generation)
}

func readBatches(ctx context.Context, tx *sqldb.Tx, query string, args ...any) ([]catalog.Batch, error) {
	var open []catalog.Batch
	err := tx.Each(ctx, query, args, func(scan func(...any) error) error {
		var b catalog.Batch
		if err := scan(&b.Number, &b.From, &b.To); err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		open = append(open, b)
		return nil
	})
	return open, err
}

// OpenBatches implements [catalog.Store].
func (s *Store) OpenBatches(ctx context.Context, ref catalog.Ref) (open []catalog.Batch, err error) {
	err = s.db.Tenant(ref.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := fenced(ctx, tx, ref, corpus.Embedding)
		if err != nil {
			return err
		}
		open, err = openBatches(ctx, tx, r)
		return err
	})
	return open, wrap("list open batches", err)
}

// Chunks implements [catalog.Store].
func (s *Store) Chunks(ctx context.Context, ref catalog.Ref, b catalog.Batch) (doc corpus.Document, chunks []corpus.Chunk, err error) {
	err = s.db.Tenant(ref.Tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := fenced(ctx, tx, ref, corpus.Embedding, corpus.Indexed)
		if err != nil {
			return err
		}
		doc = r.Document
		chunks, err = readChunks(ctx, tx, r.Tenant, selectRange, r.Tenant, r.ID, r.SHA256, b.From, b.To)
		if err == nil && (b.From < 0 || len(chunks) != b.To-b.From) {
			return fault.Permanentf("batch_mismatch", "the document has no chunks %d to %d", b.From, b.To)
		}
		return err
	})
	if err != nil {
		return corpus.Document{}, nil, fmt.Errorf("read batch: %w", err)
	}
	return doc, chunks, nil
}

func readChunks(ctx context.Context, tx *sqldb.Tx, tenant, query string, args ...any) ([]corpus.Chunk, error) {
	var chunks []corpus.Chunk
	err := tx.Each(ctx, query, args, func(scan func(...any) error) error {
		c, err := scanChunk(scan, tenant)
		chunks = append(chunks, c)
		return err
	})
	return chunks, err
}

func scanChunk(scan func(...any) error, tenant string) (corpus.Chunk, error) {
	c := corpus.Chunk{ChunkRef: corpus.ChunkRef{Tenant: tenant}}
	if err := scan(&c.Document, &c.Version, &c.Ordinal, &c.Page, &c.CharStart, &c.CharEnd, &c.Section, &c.Text); err != nil {
		return c, fmt.Errorf("read chunk: %w", err)
	}
	return c, nil
}

// FinishBatch implements [catalog.Store].
func (s *Store) FinishBatch(ctx context.Context, ref catalog.Ref, batch int) (int, error) {
	var open int
	_, err := s.advance(ctx, ref, "finish batch", []corpus.Status{corpus.Embedding, corpus.Indexed},
		func(ctx context.Context, tx *sqldb.Tx, r *row) error {
			if err := s.finish(ctx, tx, r, batch); err != nil {
				return err
			}
			_, err := tx.One(ctx, countOpen, []any{r.Tenant, r.ID, r.Generation}, &open)
			return err
		})
	return open, err
}

func (s *Store) finish(ctx context.Context, tx *sqldb.Tx, r *row, batch int) error {
	var size, done int
	fresh, err := tx.One(ctx, finishBatch, []any{r.Tenant, r.ID, r.Generation, batch}, &size)
	if err != nil {
		return err
	}
	if fresh {
		r.Embedded += size
		return s.save(ctx, tx, r)
	}
	known, err := tx.One(ctx, selectBatch, []any{r.Tenant, r.ID, r.Generation, batch}, &done)
	if err != nil {
		return err
	}
	if !known {
		return fault.Permanentf("batch_mismatch", "the document has no batch %d", batch)
	}
	return nil
}

// GoLive implements [catalog.Store].
func (s *Store) GoLive(ctx context.Context, ref catalog.Ref) (corpus.Document, error) {
	r, err := s.advance(ctx, ref, "go live", []corpus.Status{corpus.Embedding, corpus.Indexed},
		func(ctx context.Context, tx *sqldb.Tx, r *row) error {
			if r.Status == corpus.Indexed {
				return nil
			}
			var open int
			if _, err := tx.One(ctx, countOpen, []any{r.Tenant, r.ID, r.Generation}, &open); err != nil {
				return err
			}
			if open > 0 {
				return fault.Permanentf("batches_open", "%d batches of the document are not finished", open)
			}
			r.Status, r.LiveVersion = corpus.Indexed, r.SHA256
			s.touch(r)
			r.IndexedAt = r.UpdatedAt
			return s.save(ctx, tx, r)
		})
	if err != nil {
		return corpus.Document{}, err
	}
	return r.Document, nil
}

// Fail implements [catalog.Store].
func (s *Store) Fail(ctx context.Context, ref catalog.Ref, f corpus.Failure) (corpus.Document, error) {
	r, err := s.advance(ctx, ref, "fail document", []corpus.Status{corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Failed},
		func(ctx context.Context, tx *sqldb.Tx, r *row) error {
			if r.Status == corpus.Failed {
				return nil
			}
			r.Status, r.Failure = corpus.Failed, &f
			return s.save(ctx, tx, r)
		})
	if err != nil {
		return corpus.Document{}, err
	}
	return r.Document, nil
}
