package sqlcatalog

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// The bounds of a page.
const (
	defaultLimit = 20
	maxLimit     = 1000
)

func clampLimit(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

// Get implements [catalog.Store].
func (s *Store) Get(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error) {
	var doc corpus.Document
	err := s.db.Tenant(scope.Tenant()).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := seen(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		doc = r.Document
		return nil
	})
	return doc, wrap("get document", err)
}

// Document implements [catalog.Store].
func (s *Store) Document(ctx context.Context, tenant, id string) (corpus.Document, error) {
	var doc corpus.Document
	err := s.db.Tenant(tenant).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := load(ctx, tx, tenant, id)
		if err != nil {
			return err
		}
		if r == nil {
			return notFound()
		}
		doc = r.Document
		return nil
	})
	return doc, wrap("get document", err)
}

// BlobKey implements [catalog.Store].
func (s *Store) BlobKey(ctx context.Context, scope corpus.Scope, id string) (string, error) {
	var key string
	err := s.db.Tenant(scope.Tenant()).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := seen(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		if gone(r.Status) {
			return notFound()
		}
		key = r.blobKey
		return nil
	})
	return key, wrap("find the document's bytes", err)
}

func gone(status corpus.Status) bool { return status == corpus.Deleting || status == corpus.Deleted }

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// List implements [catalog.Store].
func (s *Store) List(ctx context.Context, q catalog.Query) (docs []corpus.Document, next string, err error) {
	before, beforeID, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	limit := clampLimit(q.Limit)
	text, args := listStatement(q, before, beforeID, limit+1)
	err = s.db.Tenant(q.Scope.Tenant()).Read(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return tx.Each(ctx, text, args, func(scan func(...any) error) error {
			r, err := scanRow(scan)
			if err != nil {
				return err
			}
			docs = append(docs, r.Document)
			return nil
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("list documents: %w", err)
	}
	if len(docs) > limit {
		docs = docs[:limit]
		next = formatCursor(docs[limit-1])
	}
	return docs, next, nil
}

// listStatement builds one of a few texts, so that each combination of
// conditions has the index that fits it.
func listStatement(q catalog.Query, before int64, beforeID string, limit int) (string, []any) {
	var b strings.Builder
	args := []any{q.Scope.Tenant(), before, beforeID, limit}
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	// created_at > 0 holds always, and names the index to Postgres.
	b.WriteString("select " + documentColumns + " from documents d where tenant = $1 and created_at > 0 and (created_at, id) < ($2, $3)")
	if q.Status != "" {
		b.WriteString(" and status = " + arg(string(q.Status)))
	} else {
		b.WriteString(" and status <> 'deleted'")
	}
	if q.Collection != "" {
		b.WriteString(" and collection = " + arg(q.Collection))
	}
	if !seesEverything(q.Scope) {
		principals := padded(q.Scope.Principals())
		marks := make([]string, len(principals))
		for i, p := range principals {
			marks[i] = arg(p)
		}
		b.WriteString(" and exists (select 1 from document_principals p where p.tenant = d.tenant and p.document = d.id and p.principal in (" +
			strings.Join(marks, ", ") + "))")
	}
	b.WriteString(" order by created_at desc, id desc limit $4")
	return b.String(), args
}

// seesEverything reports whether a scope acts for the system: nobody else
// sees a document that no principal may see.
func seesEverything(scope corpus.Scope) bool { return scope.Sees([]string{}) }

// A cursor is the place of the last document of a page: new documents come
// before it, so that a page never repeats or skips one.
func formatCursor(d corpus.Document) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(toMicros(d.CreatedAt), 10) + "." + d.ID))
}

func parseCursor(cursor string) (before int64, id string, err error) {
	if cursor == "" {
		return math.MaxInt64, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, "", badCursor()
	}
	micros, id, _ := strings.Cut(string(raw), ".")
	if before, err = strconv.ParseInt(micros, 10, 64); err != nil || corpus.CheckToken("cursor", id) != nil {
		return 0, "", badCursor()
	}
	return before, id, nil
}

func badCursor() error {
	return fault.Invalidf("invalid_cursor", "the cursor is not one that a list returned").WithField("cursor")
}

// Patch implements [catalog.Store].
func (s *Store) Patch(ctx context.Context, scope corpus.Scope, id string, p catalog.Patch) (corpus.Document, error) {
	if p.Metadata != nil {
		if err := corpus.CheckMetadata(*p.Metadata); err != nil {
			return corpus.Document{}, err
		}
	}
	if p.ACL != nil {
		for _, principal := range *p.ACL {
			if err := corpus.CheckPrincipal(principal); err != nil {
				return corpus.Document{}, err
			}
		}
	}
	return s.changeSeen(ctx, scope, id, "patch document", func(ctx context.Context, tx *sqldb.Tx, r *row) error {
		if gone(r.Status) {
			return notFound()
		}
		was := *r
		r.patch(p)
		if r.sameDescription(&was) {
			return nil
		}
		if err := s.save(ctx, tx, r); err != nil {
			return err
		}
		if err := note(ctx, tx, r); err != nil {
			return err
		}
		return savePrincipals(ctx, tx, r)
	})
}

func (r *row) patch(p catalog.Patch) {
	if p.Title != nil {
		r.givenTitle = *p.Title
	}
	if p.Source != nil {
		r.Source = *p.Source
	}
	if p.Metadata != nil {
		r.Metadata = maps.Clone(*p.Metadata)
	}
	if p.ACL != nil {
		r.ACL = normalACL(*p.ACL)
	}
}

func (r *row) sameDescription(o *row) bool {
	return r.describedBy(catalog.Upload{Title: o.givenTitle, Filename: o.Filename, Source: o.Source, Metadata: o.Metadata, ACL: o.ACL})
}

// Retry implements [catalog.Store].
func (s *Store) Retry(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error) {
	return s.changeSeen(ctx, scope, id, "retry document", func(ctx context.Context, tx *sqldb.Tx, r *row) error {
		if r.Status != corpus.Failed {
			return fault.Invalidf("not_failed", "the document is %s; only a failed one can be tried again", r.Status)
		}
		r.nextGeneration(corpus.Accepted)
		return s.save(ctx, tx, r)
	})
}

// Delete implements [catalog.Store].
func (s *Store) Delete(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error) {
	return s.changeSeen(ctx, scope, id, "delete document", func(ctx context.Context, tx *sqldb.Tx, r *row) error {
		if gone(r.Status) {
			return nil
		}
		r.nextGeneration(corpus.Deleting)
		r.LiveVersion = ""
		return s.save(ctx, tx, r)
	})
}

// changeSeen runs a change that somebody asked for, on a document that they see.
func (s *Store) changeSeen(ctx context.Context, scope corpus.Scope, id, what string,
	change func(ctx context.Context, tx *sqldb.Tx, r *row) error,
) (corpus.Document, error) {
	var doc corpus.Document
	err := s.alone(scope.Tenant(), id).WriteSynced(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		r, err := seen(ctx, tx, scope, id)
		if err != nil {
			return err
		}
		if err := change(ctx, tx, r); err != nil {
			return err
		}
		doc = r.Document
		return nil
	})
	return doc, wrap(what, err)
}

// padded repeats the last value until there are 1, 2, 4, 8, … of them, so
// that lists of any length need only a few statements.
func padded(values []string) []string {
	n := 1
	for n < len(values) {
		n *= 2
	}
	values = slices.Clone(values)
	for len(values) < n {
		values = append(values, values[len(values)-1])
	}
	return values
}
