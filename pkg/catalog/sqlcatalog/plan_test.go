package sqlcatalog_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// Before anything has gathered statistics for Postgres, what looks for one row
// takes the primary key, and what lists takes the index that is in order.
func TestPlansWithoutStatistics(t *testing.T) {
	t.Parallel()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: postgres.Database(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := sqlcatalog.Open(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	scope, err := corpus.SystemScope("acme")
	if err != nil {
		t.Fatal(err)
	}
	list := func(q catalog.Query) (string, []any) {
		q.Scope = scope
		return sqlcatalog.ListStatement(q, math.MaxInt64, "", 20)
	}
	all, allArgs := list(catalog.Query{})
	some, someArgs := list(catalog.Query{Status: corpus.Failed})
	collection, collectionArgs := list(catalog.Query{Collection: "c"})
	for name, c := range map[string]struct {
		query string
		args  []any
		index string
	}{
		"read a document":      {sqlcatalog.SelectDocument, []any{"acme", "d"}, "documents_pkey"},
		"look at revisions":    {sqlcatalog.RevisionsStatement(4), []any{"acme", "a", "b", "c", "d"}, "documents_pkey"},
		"park":                 {sqlcatalog.ParkDocument, []any{"acme", "d", 1, 2}, "documents_pkey"},
		"list":                 {all, allArgs, "documents_newest"},
		"list by status":       {some, someArgs, "documents_newest_of_status"},
		"list of a collection": {collection, collectionArgs, "documents_newest_of_collection"},
		"look who is in line":  {sqlcatalog.SelectLine, []any{"acme", "embed", 10}, "line_in_order"},
		"leave the line":       {sqlcatalog.LeaveLine, []any{"acme", "embed", "d", 1, 1, ""}, "line_pkey"},
		"advance in line":      {sqlcatalog.AdvanceLine, []any{"acme", "embed", "d", 1, 1, "", 2}, "line_pkey"},
		"look at a key":        {sqlcatalog.SelectUploadKey, []any{"acme", "k"}, "upload_keys_pkey"},
		"find old keys":        {sqlcatalog.ForgetUploadKeys, []any{1, 10}, "upload_keys_oldest"},
	} {
		var plan strings.Builder
		err := db.Tenant("acme").Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			plan.Reset()
			// Tables so small are read whole, otherwise.
			if _, err := tx.Exec(ctx, "set local enable_seqscan = off"); err != nil {
				return err
			}
			return tx.Each(ctx, "explain "+c.query, c.args, func(scan func(...any) error) error {
				var line string
				err := scan(&line)
				plan.WriteString(line + "\n")
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan.String(), c.index+" ") {
			t.Errorf("to %s does not take the index %s:\n%s", name, c.index, &plan)
		}
	}
}
