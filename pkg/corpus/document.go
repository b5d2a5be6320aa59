package corpus

import (
	"strconv"
	"strings"
	"time"
)

// Status is a document's place in its life. It moves forward only:
// accepted → extracting → embedding → indexed or failed; deleting → deleted.
// A new generation (new bytes, a retry, a re-creation) starts again at accepted.
type Status string

// The states of a document.
const (
	Accepted   Status = "accepted"
	Extracting Status = "extracting"
	Embedding  Status = "embedding"
	Indexed    Status = "indexed"
	Failed     Status = "failed"
	Deleting   Status = "deleting"
	Deleted    Status = "deleted"
)

// Settled reports whether nothing more happens to a document by itself.
func (s Status) Settled() bool { return s == Indexed || s == Failed || s == Deleted }

// Document is a document as its owner sees it. One row of the catalog.
type Document struct {
	Tenant     string
	ID         string
	Collection string
	Title      string
	Filename   string
	// Source is a URL for people, shown in citations and never fetched; "" when there is none.
	Source    string
	MediaType string
	Bytes     int64
	// SHA256 is the lower-case hex digest of the bytes. It is the version.
	SHA256 string
	// Generation counts what happened to the document: new bytes, retry,
	// delete, re-creation. Work that carries an older one is stale and dropped.
	Generation int64
	Status     Status
	Chunks     int
	Embedded   int
	// Pages is 0 for formats that have none.
	Pages    int
	Failure  *Failure
	Warnings []string
	// Metadata values are string, float64 or bool.
	Metadata map[string]any
	// ACL lists who may see it; nil means everyone in the tenant.
	ACL []string
	// LiveVersion is the version that searches see, "" before the first.
	LiveVersion string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	// IndexedAt is zero until a version is live.
	IndexedAt time.Time
}

// Failure says why a document could not be indexed, in words fit for its uploader.
type Failure struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// ChunkRef names a chunk: it is the same chunk exactly when all parts are equal.
type ChunkRef struct {
	Tenant   string
	Document string
	Version  string
	Ordinal  int
}

// ID returns the chunk's public id, unique in its tenant: document, the
// version's first 16 characters and the ordinal, joined by dots.
func (r ChunkRef) ID() string {
	return r.Document + "." + r.Version[:min(len(r.Version), 16)] + "." + strconv.Itoa(r.Ordinal)
}

// Chunk is a piece of one version of a document, the unit of search.
type Chunk struct {
	ChunkRef
	// Text is the slice [CharStart, CharEnd) of the page's text, verbatim.
	Text string
	// Section is the path of headings above the chunk, joined by " › ", or "".
	// Of a chunk that begins inside a table its end is the names of the columns.
	Section string
	// Page counts from 1; 0 for formats without pages, whose text is one page.
	Page int
	// CharStart and CharEnd count Unicode code points in the page's text.
	CharStart int
	CharEnd   int
}

// sectionSeparator joins the headings of a Section.
const sectionSeparator = " › "

// EmbeddingText returns what is embedded for a chunk of a document with the
// given title: a header line "title › section" and the text. The header is
// the free part of contextual retrieval: it tells what a bare paragraph is about.
func (c Chunk) EmbeddingText(title string) string {
	header := title
	switch {
	case c.Section == "":
	case title == "" || c.Section == title || strings.HasPrefix(c.Section, title+sectionSeparator):
		header = c.Section // the title is the document's first heading
	default:
		header += sectionSeparator + c.Section
	}
	if header == "" {
		return c.Text
	}
	return header + "\n" + c.Text
}

// Passage is a chunk as found by a search, with what a reader needs to judge
// and cite it. Its JSON is the passage of the HTTP API.
type Passage struct {
	ID         string  `json:"id"`
	DocumentID string  `json:"document_id"`
	Version    string  `json:"version"`
	Title      string  `json:"title"`
	Source     *string `json:"source"`
	Section    string  `json:"section"`
	// PageStart and PageEnd are null for formats without pages.
	PageStart *int `json:"page_start"`
	PageEnd   *int `json:"page_end"`
	// CharStart and CharEnd count code points in the text of the page (of the document, without pages).
	CharStart int    `json:"char_start"`
	CharEnd   int    `json:"char_end"`
	Text      string `json:"text"`
	// Score is the fused score by which passages are ordered.
	Score  float64 `json:"score"`
	Scores Scores  `json:"scores"`
}

// Scores are the raw scores of the legs that found a passage; null: not found by that leg.
type Scores struct {
	Keyword *float64 `json:"keyword"`
	Dense   *float64 `json:"dense"`
}
