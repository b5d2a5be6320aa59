package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Bounds of a multipart upload beside its file.
const (
	maxParts      = 16
	maxFieldBytes = 128 << 10
	// formOverhead is what fields, part headers and boundaries may add to the file.
	formOverhead = 1 << 20
	// cleanupTimeout bounds what is done for the store after a request failed.
	cleanupTimeout = 10 * time.Second
)

// uploadFields are the names of fields beside the file.
func uploadFields() []string {
	return []string{"id", "collection", "title", "source", "metadata", "acl", "filename"}
}

// upload is one upload while it is read.
type upload struct {
	catalog.Upload

	stored bool
	// part is what of the request the bytes are, when they are not the whole body: file or text.
	part string
	// key is the Idempotency-Key, "" when there is none; keyed says that the id
	// was derived from it.
	key   string
	keyed bool
}

// postDocument takes a document as a form, as a raw body or as JSON text.
func (r *request) postDocument() error {
	if err := r.s.uploads.take(r.who.Tenant); err != nil {
		return err
	}
	defer r.s.uploads.give(r.who.Tenant)
	ctx, cancel := context.WithTimeout(r.ctx, r.s.cfg.UploadTimeout)
	defer cancel()
	r.ctx = ctx
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	// The document may be known only after its bytes, so they lie below this
	// process's name, which no document can have by chance.
	place, err := blob.Key(r.who.Tenant, r.s.name, corpus.NewID())
	if err != nil {
		return fault.As(fault.Permanent, err)
	}
	u := &upload{Upload: catalog.Upload{Tenant: r.who.Tenant, BlobKey: place}, key: key}
	err = r.readUpload(u)
	if err == nil {
		err = r.acceptUpload(u)
	}
	if err != nil && u.stored {
		r.dropUnlessAccepted(u)
	}
	return err
}

func (r *request) readUpload(u *upload) error {
	header := r.c.Get(fiber.HeaderContentType)
	kind, params, err := mime.ParseMediaType(header)
	if err != nil && header != "" {
		return fault.Invalidf("unsupported_media_type", "the Content-Type header is malformed")
	}
	switch kind {
	case "multipart/form-data":
		return r.readForm(u, params["boundary"])
	case "application/json":
		return r.readText(u)
	}
	if strings.HasPrefix(kind, "multipart/") {
		return fault.Invalidf("unsupported_media_type", "send a form as multipart/form-data")
	}
	return r.readRaw(u, header)
}

// readForm streams the one file part to the blob store; fields may come before and after it.
func (r *request) readForm(u *upload, boundary string) error {
	if _, err := r.query(); err != nil {
		return err
	}
	if boundary == "" {
		return r.malformedForm(errors.New("no boundary"))
	}
	limit := int64(r.s.cfg.MaxUploadBytes)
	if err := r.checkLength(limit, formOverhead); err != nil {
		return err
	}
	form := multipart.NewReader(io.LimitReader(r.openBody(r.s.cfg.UploadTimeout), limit+formOverhead), boundary)
	fields := map[string]string{}
	for n := 0; ; n++ {
		part, err := form.NextRawPart()
		if err == io.EOF { // a wrapped one is a form that ends early
			break
		}
		if err != nil {
			return r.malformedForm(err)
		}
		if n == maxParts {
			return fault.Invalidf("too_many_parts", "the form has more than %d parts", maxParts)
		}
		if err := r.readPart(u, part, fields); err != nil {
			return err
		}
	}
	if !u.stored {
		return fault.Invalidf("missing_file", "the form has no part named file").WithField("file")
	}
	return r.describe(u, fields)
}

// malformedForm classifies an error of the multipart reader.
func (r *request) malformedForm(err error) error {
	if r.body != nil && r.body.err != nil {
		return brokenBody(r.body.err)
	}
	return fault.Invalidf("malformed_multipart", "the body is not a well-formed multipart form").WithCause(err)
}

func (r *request) readPart(u *upload, part *multipart.Part, fields map[string]string) error {
	name := part.FormName()
	if name == "file" {
		if u.stored {
			return fault.Invalidf("too_many_files", "the form has several parts named file; send one document a request").WithField("file")
		}
		u.part, u.Filename = "file", corpus.CleanFilename(part.FileName())
		u.MediaType = mediaTypeOf(part.Header.Get(fiber.HeaderContentType))
		return r.store(u, part)
	}
	if !slices.Contains(uploadFields(), name) {
		return fault.Invalidf("unknown_field", "the form field %q is not known here", shown(name)).WithField(shown(name))
	}
	if _, twice := fields[name]; twice {
		return fault.Invalidf("duplicate_field", "the form field %q comes twice", name).WithField(name)
	}
	text, err := io.ReadAll(io.LimitReader(part, maxFieldBytes+1))
	switch {
	case err != nil:
		return r.malformedForm(err)
	case len(text) > maxFieldBytes:
		return fault.Invalidf("field_too_large", "the form field %q has more than %d bytes", name, maxFieldBytes).WithField(name)
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return fault.Invalidf("invalid_utf8", "the form field %q is not valid UTF-8 text", name).WithField(name)
	}
	fields[name] = string(text)
	return nil
}

// readRaw streams a body that is the document, with the fields in the query. The
// type keeps its parameters: without its charset a text may be unreadable.
func (r *request) readRaw(u *upload, contentType string) error {
	if err := r.checkLength(int64(r.s.cfg.MaxUploadBytes), 0); err != nil {
		return err
	}
	// Described first: a bad field should not cost an upload.
	if err := r.describe(u, r.params); err != nil {
		return err
	}
	u.MediaType = mediaTypeOf(contentType)
	return r.store(u, r.openBody(r.s.cfg.UploadTimeout))
}

// readText takes {"text": …} with the other fields beside it.
func (r *request) readText(u *upload) error {
	if _, err := r.query(); err != nil {
		return err
	}
	limit := min(maxTextBytes, int64(r.s.cfg.MaxUploadBytes))
	body, err := r.wholeBody(limit, min(formOverhead, maxTextBytes-limit))
	if err != nil {
		return err
	}
	var text, mediaType string
	var d describing
	_, err = decodeObject(body, field{"text", &text}, field{"media_type", &mediaType}, field{"id", &u.ID},
		field{"collection", &u.Collection}, field{"title", &d.Title}, field{"source", &d.Source}, field{"filename", &u.Filename},
		field{"metadata", &d.Metadata}, field{"acl", &d.ACL})
	if err != nil {
		return err
	}
	switch mediaType {
	case "":
		mediaType = "text/plain"
	case "text/plain", "text/markdown", "text/html":
	default:
		return fault.Invalidf("invalid_media_type", "media_type is text/plain, text/markdown or text/html").WithField("media_type")
	}
	u.MediaType, u.Filename = mediaType+"; charset=utf-8", corpus.CleanFilename(u.Filename)
	if err := r.identify(u, d); err != nil {
		return err
	}
	u.part = "text"
	return r.store(u, strings.NewReader(text))
}

// describe reads fields that came as texts.
func (r *request) describe(u *upload, fields map[string]string) error {
	d := describing{Title: fields["title"], Source: fields["source"]}
	if err := parseJSONField("metadata", fields["metadata"], &d.Metadata); err != nil {
		return err
	}
	if err := parseJSONField("acl", fields["acl"], &d.ACL); err != nil {
		return err
	}
	u.ID, u.Collection = fields["id"], fields["collection"]
	if name := fields["filename"]; name != "" {
		u.Filename = corpus.CleanFilename(name)
	}
	return r.identify(u, d)
}

// identify checks what describes a document and takes its id, when one is chosen.
func (r *request) identify(u *upload, d describing) error {
	if err := d.check(); err != nil {
		return err
	}
	u.Title, u.Source, u.Metadata, u.ACL = d.Title, d.Source, d.Metadata, d.ACL
	if u.Collection == "" {
		u.Collection = corpus.DefaultCollection
	}
	if err := corpus.CheckToken("collection", u.Collection); err != nil {
		return err
	}
	if u.ID != "" {
		return corpus.CheckToken("id", u.ID)
	}
	if u.key != "" && u.Source == "" {
		u.ID, u.keyed = corpus.DeriveID("document/key", r.who.Tenant, r.who.Owner, u.key), true
	}
	return nil
}

// store streams the bytes to the blob store, which counts and hashes them on the way.
func (r *request) store(u *upload, body io.Reader) error {
	info, err := r.s.deps.Blobs.Put(r.ctx, u.BlobKey, &bounded{r: body, part: u.part, broken: r.malformedForm, limit: int64(r.s.cfg.MaxUploadBytes)},
		blob.PutOptions{MediaType: u.MediaType})
	if err != nil {
		return err
	}
	u.stored = true
	if info.Bytes == 0 {
		return fault.Invalidf("empty_document", "the document is empty").WithField(u.part)
	}
	u.Bytes, u.SHA256 = info.Bytes, info.SHA256
	r.s.metrics.uploaded.Add(float64(u.Bytes))
	return nil
}

// bounded reads up to limit bytes and classifies what stops it.
type bounded struct {
	r      io.Reader
	part   string
	broken func(error) error
	n      int64
	limit  int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch {
	case b.n > b.limit:
		return 0, fault.Invalidf("file_too_large", "the document is larger than %d bytes, the limit of this server", b.limit).WithField(b.part)
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	}
	return n, b.broken(err)
}

// acceptUpload enters a stored upload into the catalog and sends the work.
func (r *request) acceptUpload(u *upload) error {
	doc, outcome, err := r.enter(u)
	if err != nil {
		return err
	}
	switch outcome {
	case catalog.Created, catalog.Replaced:
		u.stored = false // it is the document's now
		r.publish(doc.Tenant, event.DocumentUploaded{ID: doc.ID, Generation: doc.Generation})
		return r.accepted(documentPath(doc.ID), shownDocument(doc))
	case catalog.Changed:
		r.publishChange(doc)
	case catalog.Unchanged, catalog.Repeated:
	}
	r.drop(u)
	r.c.Set(fiber.HeaderLocation, documentPath(doc.ID))
	return r.json(http.StatusOK, shownDocument(doc))
}

// drop removes bytes that no document refers to.
func (r *request) drop(u *upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), cleanupTimeout)
	defer cancel()
	u.stored = false
	if err := r.s.deps.Blobs.Delete(ctx, u.BlobKey); err != nil && !fault.Is(err, fault.NotFound) {
		r.s.log.LogAttrs(ctx, slog.LevelWarn, "superfluous bytes are left in the blob store", slog.String("request_id", r.id),
			slog.String("key", u.BlobKey), slog.Any("error", err))
	}
}

// dropUnlessAccepted removes the bytes of a failed upload. An error of the
// catalog may come after it has stored the row; then the bytes stay, for
// losing them would be worse than keeping too much.
func (r *request) dropUnlessAccepted(u *upload) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), cleanupTimeout)
	defer cancel()
	if u.ID != "" && u.SHA256 != "" {
		scope, err := corpus.NewScope(u.Tenant, append(u.ACL, r.who.Principals...)...)
		if err == nil {
			var key string
			key, err = r.s.deps.Catalog.BlobKey(ctx, scope, u.ID)
			if err == nil && key == u.BlobKey {
				return
			}
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			r.s.log.LogAttrs(ctx, slog.LevelWarn, "bytes of a failed upload are kept, in case it was recorded",
				slog.String("request_id", r.id), slog.String("key", u.BlobKey), slog.Any("error", err))
			return
		}
	}
	r.drop(u)
}
