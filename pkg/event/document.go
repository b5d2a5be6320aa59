package event

import (
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// DocumentUploaded asks to index a document.
//
// From our own gateway it carries Generation, and the catalog row is the
// truth. From a pipeline it carries DataRef instead, Generation is 0, and the
// ingestor fetches the bytes and makes the row.
type DocumentUploaded struct {
	ID         string         `json:"id,omitempty"`
	Generation int64          `json:"generation,omitempty"`
	Collection string         `json:"collection,omitempty"`
	Title      string         `json:"title,omitempty"`
	Filename   string         `json:"filename,omitempty"`
	Source     string         `json:"source,omitempty"`
	Metadata   map[string]any `json:"metadata,omitempty"`
	// ACL is nil for everyone. An empty list must not get lost on the wire, or it would be everyone too.
	ACL     []string `json:"acl,omitzero"`
	DataRef string   `json:"dataref,omitempty"`
}

// Kind implements [Payload].
func (DocumentUploaded) Kind() Kind { return KindDocumentUploaded }

func (d DocumentUploaded) identity() string {
	if d.Generation == 0 {
		return corpus.DeriveID("uploaded", d.ID, d.DataRef)
	}
	return generationID(d.ID, d.Generation)
}

func (d DocumentUploaded) about() string { return d.ID }

func (d DocumentUploaded) check() error {
	if d.Generation == 0 && d.DataRef == "" {
		return fault.Invalidf("invalid_event", "dataref is missing: it says where the document's bytes are").WithField("dataref")
	}
	if d.Generation < 0 {
		return fault.Invalidf("invalid_event", "generation is negative").WithField("generation")
	}
	if d.Generation > 0 || d.ID != "" {
		if err := corpus.CheckToken("id", d.ID); err != nil {
			return err
		}
	}
	if d.Collection != "" {
		if err := corpus.CheckToken("collection", d.Collection); err != nil {
			return err
		}
	}
	return corpus.Description{Title: d.Title, Source: d.Source, Metadata: d.Metadata, ACL: d.ACL}.Check()
}

// DocumentDeleted asks to remove a document. Generation is 0 when it comes from a pipeline.
type DocumentDeleted struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation,omitempty"`
}

// Kind implements [Payload].
func (DocumentDeleted) Kind() Kind { return KindDocumentDeleted }

func (d DocumentDeleted) identity() string { return generationID(d.ID, d.Generation) }
func (d DocumentDeleted) about() string    { return d.ID }
func (d DocumentDeleted) check() error     { return corpus.CheckToken("id", d.ID) }

// DocumentChanged says that acl or metadata of a document changed in the
// catalog and the index must follow. Revision is the row's update time in
// microseconds. From a pipeline Revision is 0 and ACL is the new acl, nil for everyone.
type DocumentChanged struct {
	ID       string   `json:"id"`
	Revision int64    `json:"revision,omitempty"`
	ACL      []string `json:"acl,omitzero"`
}

// Kind implements [Payload].
func (DocumentChanged) Kind() Kind { return KindDocumentChanged }

func (d DocumentChanged) identity() string {
	if d.Revision == 0 {
		return d.ID + "/" + corpus.DeriveID("acl", d.ACL...)
	}
	return generationID(d.ID, d.Revision)
}
func (d DocumentChanged) about() string { return d.ID }
func (d DocumentChanged) check() error {
	if err := corpus.CheckACL(d.ACL); err != nil {
		return err
	}
	return corpus.CheckToken("id", d.ID)
}

// ChunksReady asks to embed and index one batch of a document's chunks:
// ordinals From (inclusive) to To (exclusive) of Version.
type ChunksReady struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation"`
	Version    string `json:"version"`
	Batch      int    `json:"batch"`
	From       int    `json:"from"`
	To         int    `json:"to"`
}

// Kind implements [Payload].
func (ChunksReady) Kind() Kind { return KindChunksReady }

func (c ChunksReady) identity() string {
	return generationID(c.ID, c.Generation) + "/" + strconv.Itoa(c.Batch)
}
func (c ChunksReady) about() string { return c.ID }
func (c ChunksReady) check() error {
	if c.Generation <= 0 || c.Version == "" || c.Batch < 0 || c.From < 0 || c.To <= c.From {
		return fault.Invalidf("invalid_event", "generation, version, batch, from and to must name a batch")
	}
	return corpus.CheckToken("id", c.ID)
}

// DocumentIndexed is the fact that a version became searchable.
type DocumentIndexed struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation"`
	Collection string `json:"collection"`
	Version    string `json:"version"`
	Chunks     int    `json:"chunks"`
	Pages      int    `json:"pages"`
}

// Kind implements [Payload].
func (DocumentIndexed) Kind() Kind { return KindDocumentIndexed }

func (d DocumentIndexed) identity() string { return generationID(d.ID, d.Generation) }
func (d DocumentIndexed) about() string    { return d.ID }
func (d DocumentIndexed) check() error     { return corpus.CheckToken("id", d.ID) }

// DocumentFailed is the fact that a version will not become searchable without help.
type DocumentFailed struct {
	ID         string         `json:"id"`
	Generation int64          `json:"generation"`
	Collection string         `json:"collection"`
	Error      corpus.Failure `json:"error"`
}

// Kind implements [Payload].
func (DocumentFailed) Kind() Kind { return KindDocumentFailed }

func (d DocumentFailed) identity() string { return generationID(d.ID, d.Generation) }
func (d DocumentFailed) about() string    { return d.ID }
func (d DocumentFailed) check() error     { return corpus.CheckToken("id", d.ID) }

// DocumentRemoved is the fact that nothing of a document is left but its tombstone.
type DocumentRemoved struct {
	ID         string `json:"id"`
	Generation int64  `json:"generation"`
	Collection string `json:"collection"`
}

// Kind implements [Payload].
func (DocumentRemoved) Kind() Kind { return KindDocumentRemoved }

func (d DocumentRemoved) identity() string { return generationID(d.ID, d.Generation) }
func (d DocumentRemoved) about() string    { return d.ID }
func (d DocumentRemoved) check() error     { return corpus.CheckToken("id", d.ID) }

func generationID(id string, generation int64) string {
	return strings.Join([]string{id, strconv.FormatInt(generation, 10)}, "/")
}
