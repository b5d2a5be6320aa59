package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/natsserver"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/catalog/sqlcatalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/sqldb"
)

// poison accepts a document into the data directory of a server that is down,
// and uses up its attempts, as one that kills every worker that takes it.
func poison(t *testing.T, dir, id, text string) {
	t.Helper()
	ctx := t.Context()
	db, err := sqldb.Open(ctx, sqldb.Config{URL: sqldb.FileURL(filepath.Join(dir, "ragbus.db"))})
	must(t, err)
	defer func() { must(t, db.Close()) }()
	docs, err := sqlcatalog.Open(ctx, db)
	must(t, err)
	at, err := blob.FileURL(filepath.Join(dir, "blobs"))
	must(t, err)
	blobs, err := blob.Open(ctx, at)
	must(t, err)
	defer func() { must(t, blobs.Close()) }()
	key, err := blob.Key(corpus.DefaultTenant, id, corpus.NewID())
	must(t, err)
	info, err := blobs.Put(ctx, key, strings.NewReader(text), blob.PutOptions{MaxBytes: 1 << 20})
	must(t, err)
	doc, _, err := docs.Accept(ctx, catalog.Upload{
		Tenant: corpus.DefaultTenant, ID: id, Collection: corpus.DefaultCollection, Filename: id + ".txt", Bytes: info.Bytes, SHA256: info.SHA256, BlobKey: key,
	})
	must(t, err)

	nats, err := natsserver.Start(natsserver.Config{Dir: dir})
	must(t, err)
	defer func() { must(t, nats.Shutdown(ctx)) }()
	conn, err := broker.Connect(ctx, broker.Config{Name: "poison", InProcess: nats})
	must(t, err)
	defer func() { must(t, conn.Close(ctx)) }()
	e := event.New(corpus.DefaultTenant, time.Now(), event.DocumentUploaded{ID: id, Generation: doc.Generation})
	e.Traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	must(t, broker.NewPublisher(conn.JetStream()).Publish(ctx, e))
	work, err := conn.JetStream().Consumer(ctx, broker.StreamIngest, broker.ConsumerIngestorExtract)
	must(t, err)
	for range 10 {
		m, err := work.Next(jetstream.FetchMaxWait(patience))
		must(t, err)
		must(t, m.NakWithDelay(time.Millisecond))
	}
	must(t, conn.NATS().Flush())
}

func TestAPoisonousDocumentIsBuriedAndRedriven(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{Embedder: scripted(t)})
	s.stop(t)
	poison(t, s.vars["RAGBUS_DATA_DIR"], "poisoned", story("poisonling", 2))
	s.open(t)
	a := newAPI(t, s.url)
	dead := func(code int, args ...string) string {
		t.Helper()
		out, errs, got := run(t, t.TempDir(), append([]string{"--server", s.url}, args...))
		if got != code {
			t.Fatalf("ragbus %q: exit code %d, want %d\n%s\n%s", args, got, code, out, errs)
		}
		return out + errs
	}
	// Its owner sees why, the operator the rest.
	if d := a.settled("poisoned"); d.Status != "failed" || d.Error == nil || d.Error.Code != "attempts_exhausted" || !d.Error.Retryable {
		t.Fatalf("%+v %+v", d, d.Error)
	}
	var letters []client.DeadLetter
	must(t, json.Unmarshal([]byte(dead(0, "dead", "ls", "--stage", "ingestor-extract", "--json")), &letters))
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	l := letters[0]
	if l.About == nil || *l.About != "poisoned" || l.Attempts != 11 || l.Class != "permanent" || l.Code != "attempts_exhausted" || l.TraceID == nil ||
		*l.TraceID != "0af7651916cd43dd8448eb211c80319c" || l.Worker == nil || !strings.HasPrefix(*l.Worker, "ingestor@") || l.FirstAt == nil || l.DiedAt == nil {
		t.Errorf("%+v", l)
	}
	for what, args := range map[string][]string{
		`"generation": 1`: {"dead", "show", l.ID}, "poisoned": {"dead", "ls"}, "DEAD LETTERS  ingestor-extract 1": {"status"},
	} {
		if out := dead(0, args...); !strings.Contains(out, what) || strings.Contains(out, escape) {
			t.Errorf("%q is missing in:\n%s", what, out)
		}
	}
	if out := dead(0, "dead", "redrive", l.ID); !strings.Contains(out, "1 redriven") {
		t.Error(out)
	}
	if d := a.settled("poisoned"); d.Status != "indexed" || d.Error != nil {
		t.Errorf("%+v %+v", d, d.Error)
	}
	if out := dead(0, "dead", "ls"); !strings.Contains(out, "no dead letters") {
		t.Error(out)
	}
	dead(1, "dead", "redrive", l.ID)
	dead(1, "dead", "show", l.ID)
}

func TestAnEventWhoseFileCameLateIsRedriven(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{Embedder: scripted(t)})
	a := newAPI(t, s.url)
	file := filepath.Join(s.Inbox(), "late.txt")
	a.do(http.MethodPost, "/v1/events", strings.NewReader(`{"id":"late","dataref":"file://`+file+`"}`), "Content-Type", "application/json", "ce-specversion", "1.0",
		"ce-type", "ragbus.document.uploaded.v1", "ce-source", "/pipeline", "ce-id", "late-1").want(http.StatusAccepted)
	var page client.Page[client.DeadLetter]
	eventually(t, "the dead letter", func() bool {
		page = decode[client.Page[client.DeadLetter]](a.get("/v1/dead-letters?kind=document.uploaded").want(http.StatusOK))
		return len(page.Data) == 1
	})
	id := page.Data[0].ID
	must(t, os.WriteFile(file, []byte(story("lateling", 1)), 0o600))
	a.do(http.MethodPost, "/v1/dead-letters/"+id+"/redrive", nil).want(http.StatusOK)
	eventually(t, "the document is adopted", func() bool { return a.get("/v1/documents/late").status == http.StatusOK })
	if d := a.settled("late"); d.Status != "indexed" || d.Error != nil {
		t.Errorf("%+v %+v", d, d.Error)
	}
	a.get("/v1/dead-letters/"+id).problem(http.StatusNotFound, "dead_letter_not_found")
}
