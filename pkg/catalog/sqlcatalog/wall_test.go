package sqlcatalog_test

import (
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

func TestRowLevelSecurityPartsTenants(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := openURL(t, url)
	for _, tenant := range []string{"acme", "other"} {
		fillTables(t, s, tenant)
	}
	want := "attribute_changes batches chunks document_blobs document_principals documents line suspects upload_keys vector_uses vectors"
	if tables := strings.Join(postgrestest.CheckTables(t, url), " "); tables != want {
		t.Errorf("tables with tenants: %s", tables)
	}
	copied := "generation, status, collection, title, found_title, filename, source, media_type, bytes, sha256, blob_key, chunks, embedded, pages, " +
		"failure, warnings, metadata, acl, live_version, created_at, updated_at, indexed_at, moved_at"
	for table, insert := range map[string]string{
		"documents": "insert into documents (tenant, id, " + copied + ") values ('third', 'd', 1, 'accepted', '', '', '', '', '', '', 1, '', '', " +
			"0, 0, 0, null, '[]', '{}', null, '', 1, 1, 1, 1)",
		"document_principals": "insert into document_principals values ('other', 'd', 'user:x')",
		"document_blobs":      "insert into document_blobs values ('other', 'd', 'stolen')",
		"chunks":              "insert into chunks values ('other', 'd', 'v', 0, 1, 1, 1, '', '')",
		"batches":             "insert into batches values ('other', 'd', 9, 9, 9, 9, 0)",
		"vectors":             "insert into vectors values ('other', 'p', 'h', '')",
		"attribute_changes":   "insert into attribute_changes values ('other', 'd2', 1, 1)",
		"line":                "insert into line values ('other', 'extract', 'd2', 1, 0, '', 1)",
		"upload_keys":         "insert into upload_keys values ('other', 'k2', 'a', 'd', 1)",
		"suspects":            "insert into suspects values ('blob', 'other', 'd', 1)",
		"vector_uses":         "insert into vector_uses values ('other', 'd', 'p', 'h', 1)",
	} {
		postgrestest.CheckWall(t, url, table, "acme", insert)
	}
}

// fillTables puts a row of a tenant into every table.
func fillTables(t *testing.T, s *sqlcatalog.Store, tenant string) {
	t.Helper()
	doc, _, err := s.Accept(t.Context(), catalog.Upload{Tenant: tenant, ID: "d", Collection: "c", SHA256: "sha", BlobKey: "key", Once: catalog.Once{Key: "k", Digest: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	ref := catalog.Ref{Tenant: tenant, ID: "d", Generation: doc.Generation}
	if _, _, err := s.Begin(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	chunk := corpus.Chunk{ChunkRef: corpus.ChunkRef{Tenant: tenant, Document: "d", Version: "sha"}, Text: "text"}
	if err := s.PutChunks(t.Context(), ref, []corpus.Chunk{chunk}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Extracted(t.Context(), ref, catalog.Extraction{Chunks: 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutVectors(t.Context(), ref, "profile", map[string][]float32{"hash": {1}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context(), catalog.Turn{Tenant: tenant, ID: "d", Step: catalog.Embed, Number: doc.Generation}); err != nil {
		t.Fatal(err)
	}
	fence, err := s.TakeFence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Suspect(t.Context(), fence, catalog.OrphanBlob, []catalog.Suspect{{Tenant: tenant, Name: "key"}}, nil); err != nil {
		t.Fatal(err)
	}
	system, err := corpus.SystemScope(tenant)
	if err != nil {
		t.Fatal(err)
	}
	title := "Another"
	if _, err := s.Patch(t.Context(), system, "d", catalog.Patch{Title: &title}); err != nil {
		t.Fatal(err)
	}
}
