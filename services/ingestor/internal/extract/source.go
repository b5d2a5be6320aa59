// Package extract turns the bytes of a document into pages of text. A file of
// PDF, DOCX, HTML, Markdown or plain text enters, told apart by content; its
// pages leave as a stream, clean and with their headings. Formats that can be
// hostile are read in a child process with limits of its own, so that a
// broken document fails alone, with a reason its uploader understands.
package extract

import (
	"os"
	"time"

	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

// Page and Heading are what extraction yields; see package page.
type (
	// Page is a page of a document, or a part of it.
	Page = page.Page
	// Heading is a heading inside a Page.
	Heading = page.Heading
)

// Source is a document to extract.
type Source struct {
	// File is a regular file, open for reading and at any position; it is
	// read by offset and stays open. A child process reads it through a
	// descriptor of its own.
	File *os.File
	// MediaType and Filename are what the uploader declared, or "". They
	// break ties that the content leaves open, such as Markdown or plain text.
	MediaType string
	Filename  string
	// Tenant is whose the document is.
	Tenant string
}

// Summary says what was extracted.
type Summary struct {
	// MediaType is what the document is, by content.
	MediaType string `json:"media_type"`
	// Title is the document's own title, or "".
	Title string `json:"title"`
	// Pages is 0 for formats without pages.
	Pages int `json:"pages"`
	// Warnings say, in words for the uploader, what could not be read.
	Warnings []string `json:"warnings,omitempty"`
}

// Limits bound one extraction. Zero fields take their defaults; the defaults
// let any honest document of the field's usual sizes through (a 1,600-page
// filing takes about ten seconds and 130 MiB) and stop the others early.
type Limits struct {
	// Bytes is the largest file; default 256 MiB.
	Bytes int64 `json:"bytes"`
	// TextBytes bounds the text that leaves; default 256 MiB.
	TextBytes int64 `json:"text_bytes"`
	// Pages bounds the pages of a PDF; default 20,000.
	Pages int `json:"pages"`
	// Time bounds the work of all children on one document, time that the
	// consumer of the pages takes not counted; default 5 minutes.
	Time time.Duration `json:"time"`
	// PageTime bounds the work on one page, or between two parts of a
	// document without pages; default 30 seconds.
	PageTime time.Duration `json:"page_time"`
	// Memory is the resident memory at which a child is killed; its garbage
	// collector holds it below two thirds of that. Default 384 MiB.
	Memory int64 `json:"memory"`
	// Restarts is how many pages may kill their child before the document
	// fails; default 3. Negative: none.
	Restarts int `json:"restarts"`
}

// WithDefaults returns l with its zero fields set.
func (l Limits) WithDefaults() Limits {
	setDefault(&l.Bytes, 256<<20)
	setDefault(&l.TextBytes, 256<<20)
	setDefault(&l.Pages, 20_000)
	setDefault(&l.Time, 5*time.Minute)
	setDefault(&l.PageTime, 30*time.Second)
	setDefault(&l.Memory, 384<<20)
	setDefault(&l.Restarts, 3)
	return l
}

func setDefault[T int | int64 | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}

// Media types of the documents that can be read.
const (
	PDF      = "application/pdf"
	DOCX     = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	HTML     = "text/html"
	Markdown = "text/markdown"
	Text     = "text/plain"
)
