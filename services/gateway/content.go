package gateway

import (
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// getContent streams the bytes as they were uploaded, or a part of them. They are a stranger's:
// a browser must neither guess their type nor run them.
func (r *request) getContent() error {
	id, scope, err := r.named()
	if err != nil {
		return err
	}
	doc, err := r.s.deps.Catalog.Get(r.ctx, scope, id)
	if err != nil {
		return err
	}
	if doc.Status == corpus.Deleting || doc.Status == corpus.Deleted {
		return fault.NotFoundf("document_not_found", "the document was deleted")
	}
	etag := `"` + doc.SHA256 + `"`
	h := &r.c.Response().Header
	h.Set(fiber.HeaderETag, etag)
	h.Set(fiber.HeaderAcceptRanges, "bytes")
	if matchesETag(r.headerList(fiber.HeaderIfNoneMatch), etag) {
		r.c.Status(http.StatusNotModified)
		return nil
	}
	part, partial, err := r.askedPart(doc.Bytes, etag)
	if err != nil {
		return err
	}
	key, err := r.s.deps.Catalog.BlobKey(r.ctx, scope, id)
	if err != nil {
		return err
	}
	// An upload may have come between the row and the key of its bytes.
	now, err := r.s.deps.Catalog.Get(r.ctx, scope, id)
	if err != nil {
		return err
	}
	if now.Generation != doc.Generation {
		return fault.Transientf("document_changing", "the document is being replaced; try again")
	}
	// The bytes flow after this handler returned, so not within its context's bound.
	whole := blob.Info{Bytes: doc.Bytes, SHA256: doc.SHA256}
	var content io.ReadCloser
	if partial {
		content, err = r.s.deps.Blobs.ReadPart(r.s.base(), key, whole, part)
	} else {
		content, err = r.s.deps.Blobs.Read(r.s.base(), key, whole)
		part.Bytes = doc.Bytes
	}
	if err != nil {
		return err
	}
	mediaType := doc.MediaType
	if mediaType == "" {
		mediaType = fiber.MIMEOctetStream
	}
	h.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set(fiber.HeaderContentDisposition, disposition(doc.Filename, doc.ID))
	h.SetContentType(mediaType)
	if r.method == http.MethodHead {
		closeQuietly(content)
		h.SetContentLength(int(doc.Bytes))
		r.c.Response().SkipBody = true
		return nil
	}
	if partial {
		r.c.Status(http.StatusPartialContent)
		h.Set(fiber.HeaderContentRange, fmt.Sprintf("bytes %d-%d/%d", part.Offset, part.Offset+part.Bytes-1, doc.Bytes))
	}
	r.c.Context().SetBodyStream(content, int(part.Bytes))
	return nil
}

func closeQuietly(c io.Closer) {
	_ = c.Close() // it was only read
}

// disposition returns a Content-Disposition that offers a download under the
// document's file name (RFC 6266 with the extended form of RFC 8187).
func disposition(filename, id string) string {
	if filename == "" {
		filename = id
	}
	if v := mime.FormatMediaType("attachment", map[string]string{"filename": filename}); v != "" {
		return v
	}
	return "attachment"
}
