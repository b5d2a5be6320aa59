package sqlcatalog_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/catalogtest"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/sqldb"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

func openSole(tb testing.TB) (*sqldb.DB, *sqlcatalog.Store) {
	tb.Helper()
	db, err := sqldb.Open(tb.Context(), sqldb.Config{URL: sqldb.FileURL(filepath.Join(tb.TempDir(), "catalog.db")), Sole: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	store, err := sqlcatalog.Open(tb.Context(), db)
	if err != nil {
		tb.Fatal(err)
	}
	return db, store
}

func TestContractOfTheOnlyProcess(t *testing.T) {
	t.Parallel()
	catalogtest.Run(t, func(t *testing.T) catalogtest.Store {
		t.Helper()
		db, store := openSole(t)
		other, err := sqlcatalog.Open(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		return twoProcesses{Store: store, searches: other}
	})
}

// live indexes a document of one chunk and returns it.
func live(t *testing.T, s *sqlcatalog.Store, id string) corpus.ChunkRef {
	t.Helper()
	doc, _, err := s.Accept(t.Context(), catalog.Upload{Tenant: "acme", ID: id, Collection: "default", SHA256: catalog.TextHash(id), BlobKey: id})
	if err != nil {
		t.Fatal(err)
	}
	ref, chunk := catalog.Ref{Tenant: "acme", ID: id, Generation: doc.Generation}, corpus.ChunkRef{Tenant: "acme", Document: id, Version: doc.SHA256}
	_, _, beginErr := s.Begin(t.Context(), ref)
	putErr := s.PutChunks(t.Context(), ref, []corpus.Chunk{{ChunkRef: chunk, Text: "text"}})
	_, _, extractErr := s.Extracted(t.Context(), ref, catalog.Extraction{Chunks: 1})
	_, finishErr := s.FinishBatch(t.Context(), ref, 0)
	_, liveErr := s.GoLive(t.Context(), ref)
	if err := errors.Join(beginErr, putErr, extractErr, finishErr, liveErr); err != nil {
		t.Fatal(err)
	}
	return chunk
}

func everyone(t *testing.T) corpus.Scope {
	t.Helper()
	scope, err := corpus.NewScope("acme")
	if err != nil {
		t.Fatal(err)
	}
	return scope
}

// finds returns how many of refs everyone sees.
func finds(t *testing.T, s *sqlcatalog.Store, refs ...corpus.ChunkRef) int {
	t.Helper()
	found, err := s.Find(t.Context(), everyone(t), refs)
	if err != nil {
		t.Error(err)
	}
	return len(found)
}

// A change holds for every search that begins after it, while many search and
// remember what they find.
func TestAChangeHoldsWhileOthersSearch(t *testing.T) {
	t.Parallel()
	_, s := openSole(t)
	system, err := corpus.SystemScope("acme")
	if err != nil {
		t.Fatal(err)
	}
	var refs []corpus.ChunkRef
	for i := range 5 {
		refs = append(refs, live(t, s, fmt.Sprint("d", i)))
	}
	stop := make(chan struct{})
	var searches, changes sync.WaitGroup
	for range 3 {
		searches.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					finds(t, s, refs...)
				}
			}
		})
	}
	for _, ref := range refs {
		changes.Go(func() {
			for range 15 {
				for _, acl := range [][]string{{"user:alice"}, nil} {
					if _, err := s.Patch(t.Context(), system, ref.Document, catalog.Patch{ACL: &acl}); err != nil {
						t.Error(err)
					}
					if n := finds(t, s, ref); (n == 1) != (acl == nil) {
						t.Errorf("%d found for everyone with acl %v", n, acl)
					}
				}
			}
			if _, err := s.Delete(t.Context(), system, ref.Document); err != nil {
				t.Error(err)
			}
			if n := finds(t, s, ref); n != 0 {
				t.Error("a deleted document was found")
			}
		})
	}
	changes.Wait()
	close(stop)
	searches.Wait()
}

// Without the database there is nothing to ask: what is found was remembered.
func TestTheOnlyProcessAsksNothingThatItKnows(t *testing.T) {
	t.Parallel()
	db, s := openSole(t)
	ref, other := live(t, s, "d"), live(t, s, "e")
	for range 2 {
		if n := finds(t, s, ref); n != 1 {
			t.Fatalf("found %d", n)
		}
	}
	live(t, s, "f") // another document's changes are no matter
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := finds(t, s, ref); n != 1 {
		t.Errorf("found %d", n)
	}
	if _, err := s.Find(t.Context(), everyone(t), []corpus.ChunkRef{ref, other}); !errors.Is(err, sqldb.ErrClosed) {
		t.Errorf("what was never read: %v", err)
	}
}

func TestExchangesOfASearch(t *testing.T) {
	t.Parallel()
	url, exchanges := postgrestest.Counted(t, postgres.Database(t))
	s := openURL(t, url+"&pool_max_conns=1")
	ref := live(t, s, "d")
	for range 2 {
		finds(t, s, ref)
	}
	exchanges.Since()
	if n := finds(t, s, ref); n != 1 {
		t.Errorf("found %d", n)
	}
	if n := exchanges.Since(); n != 1 {
		t.Errorf("what is remembered takes %d exchanges", n)
	}
}

// An upload under a key costs one statement more, and one that is repeated no more than the first.
func TestExchangesOfAnUpload(t *testing.T) {
	t.Parallel()
	url, exchanges := postgrestest.Counted(t, postgres.Database(t))
	s := openURL(t, url+"&pool_max_conns=1")
	cost := func(u catalog.Upload, want catalog.Outcome) int {
		t.Helper()
		exchanges.Since()
		if _, outcome, err := s.Accept(t.Context(), u); err != nil || outcome != want {
			t.Fatalf("outcome %d, %v", outcome, err)
		}
		return exchanges.Since()
	}
	upload := func(id, key string) catalog.Upload {
		return catalog.Upload{
			Tenant: "acme", ID: id, Collection: "default", SHA256: catalog.TextHash(id), BlobKey: id, Once: catalog.Once{Key: key, Digest: key},
		}
	}
	// Statements are prepared by those who come first.
	for _, key := range []string{"", "warm"} {
		cost(upload("warm"+key, key), catalog.Created)
	}
	cost(upload("warmwarm", "warm"), catalog.Repeated)
	plain := cost(upload("plain", ""), catalog.Created)
	once := cost(upload("once", "k"), catalog.Created)
	if again := cost(upload("once", "k"), catalog.Repeated); plain != 7 || once != plain+1 || again > plain {
		t.Errorf("exchanges: %d, under a key %d, repeated %d", plain, once, again)
	}
}
