package gateway

import (
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// document is corpus.Document as the API shows it.
type document struct {
	ID         string          `json:"id"`
	Collection string          `json:"collection"`
	Title      string          `json:"title"`
	Filename   string          `json:"filename"`
	Source     *string         `json:"source"`
	MediaType  string          `json:"media_type"`
	Bytes      int64           `json:"bytes"`
	SHA256     string          `json:"sha256"`
	Version    string          `json:"version"`
	Status     corpus.Status   `json:"status"`
	Progress   progress        `json:"progress"`
	Pages      *int            `json:"pages"`
	Error      *corpus.Failure `json:"error"`
	Warnings   []string        `json:"warnings"`
	Metadata   map[string]any  `json:"metadata"`
	ACL        []string        `json:"acl"`
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	IndexedAt  *time.Time      `json:"indexed_at"`
}

type progress struct {
	Chunks   int `json:"chunks"`
	Embedded int `json:"embedded"`
}

func shownDocument(d corpus.Document) document {
	out := document{
		ID: d.ID, Collection: d.Collection, Title: d.Title, Filename: d.Filename, Source: orNull(d.Source), MediaType: d.MediaType,
		Bytes: d.Bytes, SHA256: d.SHA256, Version: d.SHA256, Status: d.Status, Progress: progress{Chunks: d.Chunks, Embedded: d.Embedded},
		Error: d.Failure, Warnings: d.Warnings, Metadata: d.Metadata, ACL: d.ACL,
		CreatedAt: d.CreatedAt.UTC(), UpdatedAt: d.UpdatedAt.UTC(), IndexedAt: timeOrNull(d.IndexedAt),
	}
	if d.Pages > 0 {
		out.Pages = &d.Pages
	}
	if out.Warnings == nil {
		out.Warnings = []string{}
	}
	if out.Metadata == nil {
		out.Metadata = map[string]any{}
	}
	return out
}

// chunk is corpus.Chunk as the API shows it.
type chunk struct {
	ID         string `json:"id"`
	DocumentID string `json:"document_id"`
	Version    string `json:"version"`
	Ordinal    int    `json:"ordinal"`
	Section    string `json:"section"`
	Page       *int   `json:"page"`
	CharStart  int    `json:"char_start"`
	CharEnd    int    `json:"char_end"`
	Text       string `json:"text"`
}

func shownChunk(c corpus.Chunk) chunk {
	out := chunk{
		ID: c.ID(), DocumentID: c.Document, Version: c.Version, Ordinal: c.Ordinal, Section: c.Section,
		CharStart: c.CharStart, CharEnd: c.CharEnd, Text: c.Text,
	}
	if c.Page > 0 {
		out.Page = &c.Page
	}
	return out
}

// named returns the id in the path and what the caller may read.
func (r *request) named() (string, corpus.Scope, error) {
	scope, err := r.manages()
	if err != nil {
		return "", scope, err
	}
	id, err := r.idParam()
	return id, scope, err
}

// manages returns which documents the caller may look after. Where nobody is
// asked who they are, who uploaded a document for others could not be told from
// them: everybody looks after all, while searches find what has no acl.
func (r *request) manages() (corpus.Scope, error) {
	if r.s.cfg.Auth == access.AuthNone {
		return corpus.SystemScope(r.who.Tenant)
	}
	return r.who.Scope()
}

func (r *request) getDocument() error {
	id, scope, err := r.named()
	if err != nil {
		return err
	}
	wait, err := parseWait(r.params["wait"])
	if err != nil {
		return err
	}
	doc, err := r.s.waitSettled(r.ctx, scope, id, wait)
	if err != nil {
		return err
	}
	return r.json(http.StatusOK, shownDocument(doc))
}

func (r *request) listDocuments() error {
	scope, err := r.manages()
	if err != nil {
		return err
	}
	q := r.params
	limit, cursor, err := page(q, "cursor")
	if err != nil {
		return err
	}
	if name, ok := q["collection"]; ok {
		if err := corpus.CheckToken("collection", name); err != nil {
			return err
		}
	}
	status := corpus.Status(q["status"])
	switch status {
	case "", corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Indexed, corpus.Failed, corpus.Deleting, corpus.Deleted:
	default:
		return fault.Invalidf("invalid_status", "status is accepted, extracting, embedding, indexed, failed, deleting or deleted").
			WithField("status")
	}
	docs, next, err := r.s.deps.Catalog.List(r.ctx, catalog.Query{
		Scope: scope, Collection: q["collection"], Status: status, Limit: limit, Cursor: cursor,
	})
	if err != nil {
		return err
	}
	out := make([]document, len(docs))
	for i, d := range docs {
		out[i] = shownDocument(d)
	}
	return r.json(http.StatusOK, listOf(out, next))
}

func (r *request) listChunks() error {
	id, scope, err := r.named()
	if err != nil {
		return err
	}
	limit, cursor, err := page(r.params, "cursor")
	if err != nil {
		return err
	}
	after := -1
	if cursor != "" {
		if after, err = strconv.Atoi(cursor); err != nil || after < 0 {
			return fault.Invalidf("invalid_cursor", "the cursor is not one that this server gave").WithField("cursor")
		}
	}
	if _, err := r.s.deps.Catalog.Get(r.ctx, scope, id); err != nil {
		return err
	}
	chunks, err := r.s.deps.Catalog.ListChunks(r.ctx, scope, id, after, limit+1)
	if err != nil {
		return err
	}
	next := ""
	if len(chunks) > limit {
		chunks = chunks[:limit]
		next = strconv.Itoa(chunks[limit-1].Ordinal)
	}
	out := make([]chunk, len(chunks))
	for i, c := range chunks {
		out[i] = shownChunk(c)
	}
	return r.json(http.StatusOK, listOf(out, next))
}

func (r *request) patchDocument() error {
	id, scope, err := r.named()
	if err != nil {
		return err
	}
	body, err := r.jsonBody()
	if err != nil {
		return err
	}
	var in struct {
		title, source *string
		metadata      map[string]any
		acl           []string
	}
	present, err := decodeObject(body, field{"title", &in.title}, field{"source", &in.source},
		field{"metadata", &in.metadata}, field{"acl", &in.acl})
	if err != nil {
		return err
	}
	var p catalog.Patch
	if present["title"] {
		p.Title = orEmpty(in.title)
	}
	if present["source"] {
		p.Source = orEmpty(in.source)
	}
	if present["metadata"] {
		p.Metadata = &in.metadata
	}
	if present["acl"] {
		p.ACL, r.audited = &in.acl, actionACL
	}
	if err := checkPatch(p); err != nil {
		return err
	}
	doc, err := r.s.deps.Catalog.Patch(r.ctx, scope, id, p)
	if err != nil {
		return err
	}
	r.publishChange(doc)
	return r.json(http.StatusOK, shownDocument(doc))
}

func orEmpty(s *string) *string {
	if s == nil {
		return new(string)
	}
	return s
}

func checkPatch(p catalog.Patch) error {
	if p.Title == nil && p.Source == nil && p.Metadata == nil && p.ACL == nil {
		return fault.Invalidf("empty_patch", "name at least one of title, source, metadata and acl")
	}
	d := describing{}
	if p.Title != nil {
		d.Title = *p.Title
	}
	if p.Source != nil {
		d.Source = *p.Source
	}
	if p.Metadata != nil {
		d.Metadata = *p.Metadata
	}
	if p.ACL != nil {
		d.ACL = *p.ACL
	}
	return d.check()
}

func (r *request) retryDocument() error {
	id, scope, err := r.named()
	if err != nil {
		return err
	}
	doc, err := r.s.deps.Catalog.Retry(r.ctx, scope, id)
	if err != nil {
		return err
	}
	r.publish(doc.Tenant, event.DocumentUploaded{ID: doc.ID, Generation: doc.Generation})
	return r.accepted(documentPath(doc.ID), shownDocument(doc))
}

func (r *request) deleteDocument() error {
	id, scope, err := r.named()
	if err != nil {
		return err
	}
	doc, err := r.s.deps.Catalog.Delete(r.ctx, scope, id)
	if err != nil {
		return err
	}
	if doc.Status == corpus.Deleting {
		r.publish(doc.Tenant, event.DocumentDeleted{ID: doc.ID, Generation: doc.Generation})
	}
	return r.accepted(documentPath(doc.ID), shownDocument(doc))
}

func documentPath(id string) string { return "/v1/documents/" + id }

// publish sends work that the catalog's row already promises. When that
// fails the request is accepted all the same: the row is the outbox, and the
// sweeper sends the work again. Where the tenant has a window of such work
// under way it waits on record for its turn.
func (r *request) publish(tenant string, work event.Payload) {
	if err := r.s.window.Publish(r.ctx, event.New(tenant, r.s.now(), work)); err != nil {
		r.s.log.LogAttrs(r.ctx, slog.LevelWarn, "work is left to the sweeper", slog.String("request_id", r.id),
			slog.String("kind", string(work.Kind())), slog.Any("error", err))
	}
}

func (r *request) publishChange(doc corpus.Document) {
	r.publish(doc.Tenant, event.DocumentChanged{ID: doc.ID, Revision: doc.UpdatedAt.UnixMicro()})
}
