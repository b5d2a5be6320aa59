// Package catalog is the port to the record of documents: what exists, in
// which state, which chunks it has, which batches of them are done. The
// catalog row is the outbox: a document is accepted when its row is, and a
// sweeper re-emits the work of every row that does not move. The adapter is
// sqlcatalog; catalogtest is the contract suite.
package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// BatchSize is how many chunks one embed job holds.
const BatchSize = 64

// ErrStale is returned to work of a generation that is no longer the
// document's, or of a state that was left behind: whoever gets it is late,
// must write nothing more and is done.
var ErrStale = errors.New("catalog: the document has moved on")

// Upload is what came with a document's bytes.
type Upload struct {
	Tenant string
	// ID is the document's, derived by [DocumentID] when the caller gave none.
	ID         string
	Collection string
	Title      string
	Filename   string
	Source     string
	// MediaType is what was declared; extraction decides by content.
	MediaType string
	Bytes     int64
	SHA256    string
	// BlobKey is where the bytes are; unique to this upload.
	BlobKey  string
	Metadata map[string]any
	ACL      []string
	// Once, when it has a key, has the upload done once.
	Once Once
	// May, when there is one, is asked about the document that is there before
	// the upload replaces or changes it, or is found to change nothing; not when
	// it is being deleted, or deleted. Its error refuses the upload. Nobody
	// changes the document between the question and what follows. It may be
	// asked again, from another goroutine, and must not wait or use the store.
	May func(there corpus.Document) error
}

// Once tells an upload that is sent again from another one.
type Once struct {
	// Key, a token, is the sender's alone: derived from tenant, owner and what
	// the sender called the upload. "" is none.
	Key string
	// Digest is of all that the sender said.
	Digest string
}

// RepeatableFor is how long [Once] is remembered at least. Who repeats an upload
// does so within minutes, a pipeline that stood still over a weekend within days.
const RepeatableFor = 7 * 24 * time.Hour

// DocumentID returns the identity of an upload whose caller gave no id: its
// source when it has one, so that new bytes from the same place are a new
// version; else the bytes themselves, in their collection.
func DocumentID(u Upload) string {
	if u.Source != "" {
		return corpus.DeriveID("document/source", u.Tenant, u.Source)
	}
	return corpus.DeriveID("document/bytes", u.Tenant, u.Collection, u.SHA256)
}

// Outcome says what an upload did.
type Outcome uint8

// The outcomes of [Store.Accept].
const (
	// Created: the document is new, or comes back after a deletion.
	Created Outcome = iota
	// Replaced: the document has new bytes, or a failed one is tried again.
	Replaced
	// Changed: the same bytes with other title, filename, source, metadata or acl.
	Changed
	// Unchanged: nothing was to do.
	Unchanged
	// Repeated: this very upload was done before, see [Once].
	Repeated
)

// Ref names one generation of a document: what work carries to prove that it is not late.
type Ref struct {
	Tenant     string
	ID         string
	Generation int64
}

// Patch changes what describes a document; nil leaves a field as it is.
type Patch struct {
	Title    *string
	Source   *string
	Metadata *map[string]any
	// ACL: a pointer to nil means everyone in the tenant.
	ACL *[]string
}

// Query selects documents of a tenant that the scope sees, newest first.
type Query struct {
	Scope      corpus.Scope
	Collection string
	Status     corpus.Status
	Limit      int
	Cursor     string
}

// Extraction is what reading a document yielded beside its chunks.
type Extraction struct {
	MediaType string
	// Title found in the document; it becomes the document's when the upload had none.
	Title    string
	Chunks   int
	Pages    int
	Warnings []string
}

// Batch is a range of chunks: ordinals From (inclusive) to To (exclusive).
type Batch struct {
	Number   int
	From, To int
}

// Found is a chunk with its document, as a search result is made of.
type Found struct {
	Chunk    corpus.Chunk
	Document corpus.Document
}

// Store is the record of documents.
//
// All methods are safe for concurrent use by any number of processes, durable
// when they return, and return classified errors: a missing document is a
// NotFound fault with code "document_not_found", a database that is away is
// Transient.
//
// Methods that take a Ref compare both generation and state, and return
// ErrStale as described there. Each may be repeated after it has succeeded,
// as long as the generation lasts and has not moved on by the next step: the
// repetition changes nothing and returns what the first one did, or what has
// become of it. The states that each takes:
//
//	Begin                    accepted, extracting
//	PutChunks                extracting
//	Extracted                extracting, embedding
//	OpenBatches              embedding
//	Chunks, FinishBatch,
//	PutVectors, GoLive       embedding, indexed
//	SweepVersions            indexed
//	Fail                     accepted, extracting, embedding, failed
//	Removed                  deleting, deleted
//	ForgetBlobs              indexed, deleting, deleted
//	StaleBlobs               all
type Store interface {
	Line

	// Accept records an upload. The same bytes and fields again are
	// Unchanged, whatever the state, except that a failed document whose
	// failure is retryable is Replaced. Another collection for an existing
	// id is an Invalid fault "collection_mismatch". New bytes start a new generation, and
	// the live version stays live until the new one replaces it. A document
	// being deleted comes back Created; whatever is left of it is gone at once,
	// and its deletion is stale. Only a deleted one may change its collection.
	//
	// An upload under a key that was accepted before in this tenant is Repeated
	// when its digest is the same: nothing happens, and the document of then is
	// returned as it is now, whoever may see it. With another digest it is an
	// Invalid fault "idempotency_key_reused". Of several at once one is accepted.
	//
	// A filename describes: the same bytes under another are Changed and not
	// read again, so that a title, or a kind, that was told by the old name
	// stays until new bytes come; the same bytes without one keep theirs.
	//
	// The document keeps the bytes of u.BlobKey if it is Created or Replaced.
	// Else the caller deletes them, if BlobKey names others.
	Accept(ctx context.Context, u Upload) (corpus.Document, Outcome, error)
	Get(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error)
	// List leaves deleted documents out unless q.Status asks for them. Pages
	// neither repeat nor skip a document when others come; next is "" on the
	// last. A cursor that no List returned is an Invalid fault "invalid_cursor".
	List(ctx context.Context, q Query) (docs []corpus.Document, next string, err error)
	// Patch returns the changed document. Chunks and vectors are untouched.
	// UpdatedAt grows with each change, and stays when nothing changes. A
	// document being deleted, or deleted, is NotFound.
	Patch(ctx context.Context, scope corpus.Scope, id string, p Patch) (corpus.Document, error)
	// Retry starts a new generation of a failed document; any other state is
	// an Invalid fault "not_failed".
	Retry(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error)
	// Delete starts the deletion (a new generation in state deleting). On a
	// document being deleted, or deleted, it changes nothing and returns it.
	Delete(ctx context.Context, scope corpus.Scope, id string) (corpus.Document, error)
	// BlobKey returns where the bytes of the document's current generation
	// are. Of a document being deleted, or deleted, it is NotFound.
	BlobKey(ctx context.Context, scope corpus.Scope, id string) (string, error)
	// ListChunks returns up to limit chunks of the live version whose ordinal
	// is greater than after, in order; -1 begins. A tombstone has none.
	ListChunks(ctx context.Context, scope corpus.Scope, id string, after, limit int) ([]corpus.Chunk, error)

	// Begin moves accepted (or a repeated extracting) to extracting.
	Begin(ctx context.Context, ref Ref) (doc corpus.Document, blobKey string, err error)
	// PutChunks stores chunks of the generation's version; the same ordinal
	// replaces. Chunks of another document or version are a Permanent fault.
	// Many may be stored in several steps.
	PutChunks(ctx context.Context, ref Ref, chunks []corpus.Chunk) error
	// Extracted moves extracting to embedding, drops chunks beyond x.Chunks,
	// and returns all batches of [BatchSize]. Repeated, it returns the same
	// batches without those already finished. Chunks that are missing below
	// x.Chunks are a Permanent fault "chunks_missing".
	Extracted(ctx context.Context, ref Ref, x Extraction) (doc corpus.Document, open []Batch, err error)
	// Chunks returns a batch's chunks in order, with the document. A range
	// that the document has not is a Permanent fault "batch_mismatch".
	Chunks(ctx context.Context, ref Ref, b Batch) (corpus.Document, []corpus.Chunk, error)
	// FinishBatch records that a batch is embedded and indexed; repeating it
	// is harmless. It returns how many batches are still open.
	FinishBatch(ctx context.Context, ref Ref, batch int) (open int, err error)
	// GoLive moves embedding to indexed and makes the generation's version the
	// live one. With open batches it is a Permanent fault "batches_open".
	GoLive(ctx context.Context, ref Ref) (corpus.Document, error)
	// SweepVersions drops chunks, batches and unshared cached vectors of every
	// version but the live one. Large ones go in several steps.
	SweepVersions(ctx context.Context, ref Ref) error
	// StaleBlobs returns the keys of uploads that the document no longer
	// needs: superseded ones once it is indexed, all while it is deleting,
	// none otherwise. The BlobKey of each generation is on record until
	// forgotten; that of an upload whose bytes were there already never is.
	StaleBlobs(ctx context.Context, ref Ref) ([]string, error)
	// ForgetBlobs drops keys from the record after their bytes are gone.
	ForgetBlobs(ctx context.Context, ref Ref, keys []string) error
	// Fail moves an unsettled generation to failed. A live version stays live,
	// the first failure stays too. A deletion does not fail.
	Fail(ctx context.Context, ref Ref, f corpus.Failure) (corpus.Document, error)
	// Removed moves deleting to deleted: chunks, batches and unshared cached
	// vectors go, the tombstone stays, without title, filename, source and metadata.
	Removed(ctx context.Context, ref Ref) (corpus.Document, error)
	// Document returns the row whatever its acl, for work that acts for the system.
	Document(ctx context.Context, tenant, id string) (corpus.Document, error)

	// OpenBatches returns the batches of an embedding document that are not finished.
	OpenBatches(ctx context.Context, ref Ref) ([]Batch, error)

	// Find returns the chunks that exist and that the scope sees, with their
	// documents, in the order asked; others are left out. Documents being
	// deleted are never seen. Of each document the live version is seen, and
	// the one on its way, for the moments in which the index is ahead. A
	// change that has returned, here or in another process, holds for every
	// Find that begins after it. Lists and maps in the documents are shared
	// with other callers: do not modify them.
	Find(ctx context.Context, scope corpus.Scope, refs []corpus.ChunkRef) ([]Found, error)

	// Ready returns nil when the database answers.
	Ready(ctx context.Context) error
}

// VectorCache remembers embeddings by text, so that the same text is never
// paid for twice in a tenant. Keys are [TextHash]; profiles never mix.
// Entries live as long as some document uses them: [Store.SweepVersions] and
// [Store.Removed] drop those that none does.
type VectorCache interface {
	// Vectors returns what is known, by hash. Missing hashes are absent.
	Vectors(ctx context.Context, tenant, profile string, hashes []string) (map[string][]float32, error)
	// PutVectors remembers vectors by hash, and that this generation of the
	// document uses them. Pass known ones too.
	PutVectors(ctx context.Context, ref Ref, profile string, vectors map[string][]float32) error
}

// Walker reads the whole record, of all tenants, for what is rebuilt from it.
type Walker interface {
	// Changed returns up to limit documents that changed at or after since
	// (the zero time: all), deleted ones included, in the order of tenant and
	// id and after the given ones; "", "" begins. None is the end.
	Changed(ctx context.Context, since time.Time, afterTenant, afterID string, limit int) ([]corpus.Document, error)
	// VersionChunks returns up to limit chunks of one version whose ordinal is
	// greater than after, in order; -1 begins. A version that is gone has none.
	VersionChunks(ctx context.Context, tenant, id, version string, after, limit int) ([]corpus.Chunk, error)
}

// TextHash returns the cache key of a text: lower-case hex SHA-256.
func TextHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
