// Package reconcile compares what the record of documents says with what the
// blob store, the index, the ingestion queue and the dead letters hold, and mends what differs.
// The record is right: points and bytes that it does not know are removed,
// what it has and the index has not is indexed again. Nothing is mended by
// writing to the index what should be there: the record starts another
// generation of the document, and the ingestors do their usual work. So a
// repair may be repeated, interrupted, late or done by two at once.
package reconcile

import (
	"context"
	"log/slog"
	"time"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/deadletter"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/vector"
)

// Kind says what differs.
type Kind string

// The kinds of differences.
const (
	// PointsMissing: searches do not find all of an indexed document.
	PointsMissing Kind = "points_missing"
	// PointsSurplus: there are points of other versions, of a deleted document,
	// or more than the version has chunks.
	PointsSurplus Kind = "points_surplus"
	// OtherVersion: searches see another version than the record says.
	OtherVersion Kind = "other_version"
	// IndexAhead: the index has seen a generation that the record has not, as
	// after a restored backup: it would refuse what comes next.
	IndexAhead Kind = "index_ahead"
	// AttributesStale: searches filter by an acl or metadata of before.
	AttributesStale Kind = "attributes_stale"
	// ChunksMissing: the record lacks texts of an indexed document.
	ChunksMissing Kind = "chunks_missing"
	// BytesMissing: the document cannot be downloaded, nor read again.
	BytesMissing Kind = "bytes_missing"
	// BytesSurplus: bytes that a document no longer needs are still there.
	BytesSurplus Kind = "bytes_surplus"
	// Stuck: a document that is not settled does not move.
	Stuck Kind = "stuck"
	// PointsOrphaned: points of a document that the record does not know.
	PointsOrphaned Kind = "points_orphaned"
	// BytesOrphaned: bytes of an upload that the record does not know.
	BytesOrphaned Kind = "bytes_orphaned"
	// MessageOrphaned: work for a document that the record does not know.
	MessageOrphaned Kind = "message_orphaned"
	// LetterOrphaned: a dead letter of work on a document that is deleted, or
	// that the record does not know: to try it again would do nothing. That a
	// failed document has no letter is none: letters are removed, and expire,
	// and a document that could not be read fails without one; its owner sees
	// the failure on the document and retries that.
	LetterOrphaned Kind = "letter_orphaned"
)

// Difference is one thing that is not as the record says.
type Difference struct {
	Kind   Kind   `json:"kind"`
	Tenant string `json:"tenant"`
	// Document is its id; "" for bytes and messages.
	Document string `json:"document,omitempty"`
	// What tells more: counts, versions, a key.
	What string `json:"what"`
	// Mended says that a repair removed it, or has begun work that will; Done
	// what it did, or why it could not.
	Mended bool   `json:"mended"`
	Done   string `json:"done,omitempty"`
}

// Record is what is compared with.
type Record interface {
	catalog.Store
	catalog.Walker
	catalog.Sweeper
}

// Config holds what both a sweep and an operator choose.
type Config struct {
	// Repair mends; without it nothing is changed.
	Repair bool
	// Settling is how long after a change of its row a document is left alone:
	// the index may be about to follow.
	Settling time.Duration
	// Stuck is after which an unsettled document that does not move counts as such.
	Stuck time.Duration
	// Grace is how old bytes are, at least, that count as orphans: longer than
	// any upload takes.
	Grace time.Duration
	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Parts are what is compared. Blobs may be nil: then bytes are not compared.
// Publish may be nil: then the sweeper emits what a repair begins.
type Parts struct {
	Record  Record
	Blobs   *blob.Store
	Index   vector.Index
	Publish func(ctx context.Context, e event.Event) error
	// Letters are the dead letters; nil are not compared.
	Letters Letters
	Log     *slog.Logger
}

// Letters are dead letters. A *[deadletter.Store] is some.
type Letters interface {
	EachOfDocuments(ctx context.Context, visit func(deadletter.Letter, event.Event) error) error
	Remove(ctx context.Context, tenant, id string) error
}

var _ Letters = (*deadletter.Store)(nil)

// Checker compares. It is safe for concurrent use.
type Checker struct {
	cfg   Config
	parts Parts
	now   func() time.Time
}

// New returns a Checker. All parts but Blobs, Publish and Letters are required.
func New(cfg Config, parts Parts) *Checker {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Checker{cfg: cfg, parts: parts, now: cfg.Now}
}
