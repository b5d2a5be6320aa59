package sqlcatalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// row is a row of documents: a document and what only the catalog knows of it.
type row struct {
	corpus.Document
	// givenTitle came with the upload or a patch, foundTitle from the bytes.
	givenTitle string
	foundTitle string
	blobKey    string
	// movedAt is when it last moved, or never when it is settled.
	movedAt int64
	// stored is updated_at as read. It grows with every change, so that it
	// tells a writer whether somebody else was faster, and a reader whether
	// the row is still this one.
	stored int64
}

const documentColumns = `tenant, id, generation, status, collection, title, found_title, filename, source, media_type,
	bytes, sha256, blob_key, chunks, embedded, pages, failure, warnings, metadata, acl,
	live_version, created_at, updated_at, indexed_at, moved_at`

const selectDocument = "select " + documentColumns + " from documents where tenant = $1 and id = $2"

// scanRow reads the columns of documentColumns.
func scanRow(scan func(...any) error) (*row, error) {
	var (
		r                   row
		failure, acl        sql.NullString
		warnings, metadata  string
		created, updated, i int64
	)
	err := scan(&r.Tenant, &r.ID, &r.Generation, &r.Status, &r.Collection, &r.givenTitle, &r.foundTitle, &r.Filename, &r.Source, &r.MediaType,
		&r.Bytes, &r.SHA256, &r.blobKey, &r.Chunks, &r.Embedded, &r.Pages, &failure, &warnings, &metadata, &acl,
		&r.LiveVersion, &created, &updated, &i, &r.movedAt)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	r.stored = updated
	r.Title = r.shownTitle()
	r.CreatedAt, r.UpdatedAt, r.IndexedAt = fromMicros(created), fromMicros(updated), fromMicros(i)
	r.Warnings, r.Metadata = []string{}, map[string]any{}
	if warnings != "[]" {
		err = decode(err, warnings, &r.Warnings)
	}
	if metadata != "{}" {
		err = decode(err, metadata, &r.Metadata)
	}
	if failure.Valid {
		err = decode(err, failure.String, &r.Failure)
	}
	if acl.Valid {
		err = decode(err, acl.String, &r.ACL)
	}
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func (r *row) shownTitle() string {
	if r.givenTitle != "" {
		return r.givenTitle
	}
	return r.foundTitle
}

func decode(before error, text string, into any) error {
	if before != nil {
		return before
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fault.As(fault.Permanent, fmt.Errorf("decode a column of documents: %w", err))
	}
	return nil
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fault.As(fault.Permanent, fmt.Errorf("encode a column of documents: %w", err))
	}
	return string(b), nil
}

// load returns the row, or nil when there is none.
func load(ctx context.Context, tx *sqldb.Tx, tenant, id string) (*row, error) {
	var r *row
	err := tx.Each(ctx, selectDocument, []any{tenant, id}, func(scan func(...any) error) (err error) {
		r, err = scanRow(scan)
		return err
	})
	return r, err
}

// fenced returns the row that ref names when it is in one of the states, else
// ErrStale: the fence that keeps late work out.
func fenced(ctx context.Context, tx *sqldb.Tx, ref catalog.Ref, states ...corpus.Status) (*row, error) {
	r, err := load(ctx, tx, ref.Tenant, ref.ID)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, notFound()
	}
	if r.Generation != ref.Generation || !slices.Contains(states, r.Status) {
		return nil, catalog.ErrStale
	}
	return r, nil
}

// seen returns the row when the scope sees it, else NotFound.
func seen(ctx context.Context, tx *sqldb.Tx, scope corpus.Scope, id string) (*row, error) {
	r, err := load(ctx, tx, scope.Tenant(), id)
	if err != nil {
		return nil, err
	}
	if r == nil || !scope.Sees(r.ACL) {
		return nil, notFound()
	}
	return r, nil
}

const updateDocument = `update documents set
	generation = $4, status = $5, title = $6, found_title = $7, filename = $8, source = $9, media_type = $10,
	bytes = $11, sha256 = $12, blob_key = $13, chunks = $14, embedded = $15, pages = $16, failure = $17, warnings = $18,
	metadata = $19, acl = $20, live_version = $21, created_at = $22, updated_at = $23, indexed_at = $24, moved_at = $25, collection = $26
	where tenant = $1 and id = $2 and updated_at = $3`

// save writes the row back, unless somebody changed it since it was read,
// which a database with several writers makes possible.
func (s *Store) save(ctx context.Context, tx *sqldb.Tx, r *row) error {
	s.touch(r)
	v, err := r.columns()
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, updateDocument, r.Tenant, r.ID, r.stored, r.Generation, string(r.Status), r.givenTitle, r.foundTitle,
		r.Filename, r.Source, r.MediaType, r.Bytes, r.SHA256, r.blobKey, r.Chunks, r.Embedded, r.Pages, v.failure, v.warnings,
		v.metadata, v.acl, r.LiveVersion, toMicros(r.CreatedAt), toMicros(r.UpdatedAt), toMicros(r.IndexedAt), r.movedAt, r.Collection)
	if err != nil {
		return fmt.Errorf("update document: %w", err)
	}
	if n == 0 {
		return fault.Transientf("document_busy", "the document is being changed; try again")
	}
	r.stored = toMicros(r.UpdatedAt)
	return nil
}

const insertDocument = "insert into documents (" + documentColumns + `)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
	on conflict (tenant, id) do nothing`

func (s *Store) insert(ctx context.Context, tx *sqldb.Tx, r *row) error {
	s.touch(r)
	r.CreatedAt = r.UpdatedAt
	v, err := r.columns()
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, insertDocument, r.Tenant, r.ID, r.Generation, string(r.Status), r.Collection, r.givenTitle, r.foundTitle,
		r.Filename, r.Source, r.MediaType, r.Bytes, r.SHA256, r.blobKey, r.Chunks, r.Embedded, r.Pages, v.failure, v.warnings,
		v.metadata, v.acl, r.LiveVersion, toMicros(r.CreatedAt), toMicros(r.UpdatedAt), toMicros(r.IndexedAt), r.movedAt)
	if err != nil {
		return fmt.Errorf("insert document: %w", err)
	}
	if n == 0 {
		return fault.Transientf("document_busy", "the document is being created; try again")
	}
	r.stored = toMicros(r.UpdatedAt)
	return nil
}

// never is a time that no sweeper asks for.
const never = math.MaxInt64

// touch stamps a change. Times of one document never repeat, even when the
// clock stands still or goes back: [Store.Find] knows by them whether a row
// that it remembers is the current one.
func (s *Store) touch(r *row) {
	now := max(s.now().UnixMicro(), r.stored+1)
	r.UpdatedAt, r.movedAt = fromMicros(now), now
	if r.Status.Settled() {
		r.movedAt = never
	}
	r.Title = r.shownTitle()
}

// columns holds what is encoded on its way to the database.
type columns struct {
	failure, acl       sql.NullString
	warnings, metadata string
}

func (r *row) columns() (c columns, err error) {
	if r.Metadata == nil {
		r.Metadata = map[string]any{}
	}
	if r.Warnings == nil {
		r.Warnings = []string{}
	}
	if c.warnings, err = encode(r.Warnings); err != nil {
		return c, err
	}
	if c.metadata, err = encode(r.Metadata); err != nil {
		return c, err
	}
	if r.Failure != nil {
		c.failure.Valid = true
		if c.failure.String, err = encode(r.Failure); err != nil {
			return c, err
		}
	}
	if r.ACL != nil {
		c.acl.Valid = true
		if c.acl.String, err = encode(r.ACL); err != nil {
			return c, err
		}
	}
	return c, nil
}

// fromMicros and toMicros map the zero time to 0.
func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func toMicros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

const (
	deletePrincipals = "delete from document_principals where tenant = $1 and document = $2"
	insertPrincipal  = "insert into document_principals (tenant, document, principal) values ($1, $2, $3) on conflict do nothing"
)

// savePrincipals writes who may see the document, for the queries that list.
func savePrincipals(ctx context.Context, tx *sqldb.Tx, r *row) error {
	if _, err := tx.Exec(ctx, deletePrincipals, r.Tenant, r.ID); err != nil {
		return fmt.Errorf("replace principals: %w", err)
	}
	acl := r.ACL
	if acl == nil {
		acl = []string{corpus.Public}
	}
	rows := make([][]any, len(acl))
	for i, p := range acl {
		rows[i] = []any{r.Tenant, r.ID, p}
	}
	if err := tx.ExecAll(ctx, insertPrincipal, rows); err != nil {
		return fmt.Errorf("replace principals: %w", err)
	}
	return nil
}
