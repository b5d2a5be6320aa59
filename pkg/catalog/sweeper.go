package catalog

import (
	"context"
	"errors"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// ErrFenced is returned to a sweeper whose place another one has taken: it
// must write nothing more.
var ErrFenced = errors.New("catalog: another sweeper has taken over")

// Fence is the number under which a sweeper writes. Whoever takes over takes a
// greater one, and from then on those that are smaller are refused.
type Fence int64

// Change is a change of what filters read of a document, of which nobody has
// said yet that the index has it.
type Change struct {
	Tenant, ID string
	// Revision is the row's update time in microseconds.
	Revision int64
}

// Kind says what is suspected to belong to nothing.
type Kind string

// The kinds of [Suspect].
const (
	OrphanBlob   Kind = "blob"
	OrphanPoints Kind = "points"
)

// Suspect names something that the record does not know: a blob by its key, a
// document in the index by its id.
type Suspect struct {
	Tenant, Name string
}

// Holding is what the record keeps of a document beside its row.
type Holding struct {
	// BlobKey is where the bytes of the current generation are, "" of a tombstone.
	BlobKey string
	// Chunks is how many chunks of the current bytes are stored, LiveChunks
	// how many of the live version.
	Chunks, LiveChunks int
	// MovedAt is when the document moved last; zero when it is settled.
	MovedAt time.Time
}

// Sweeper is the part of the record that puts right what was interrupted.
//
// Methods that take a Fence do all that they do only as long as nobody has
// taken another, and in one step with looking; ErrFenced otherwise.
type Sweeper interface {
	// TakeFence returns a fence greater than all before, and refuses those from now on.
	TakeFence(ctx context.Context) (Fence, error)
	// Claim returns up to limit unsettled documents of all tenants that have
	// not moved since before, oldest first, and touches them, so that two
	// sweepers do not get the same ones. Every step of the work is a move;
	// UpdatedAt of what is returned stays.
	Claim(ctx context.Context, fence Fence, before time.Time, limit int) ([]corpus.Document, error)
	// Unconfirmed returns up to limit changes that were made, or returned here
	// last, before the given time, oldest first.
	Unconfirmed(ctx context.Context, fence Fence, before time.Time, limit int) ([]Change, error)
	// Confirm says that the index has what filters read of a document as of a
	// revision. Later changes stay unconfirmed.
	Confirm(ctx context.Context, tenant, id string, revision int64) error
	// ForgetUploads forgets up to limit keys of uploads that were accepted before
	// the given time, oldest first, and returns how many.
	ForgetUploads(ctx context.Context, fence Fence, before time.Time, limit int) (int, error)

	// Suspect notes what is suspected now, forgets what was and is not any
	// more, and returns since when each of wrong is, in its order.
	Suspect(ctx context.Context, fence Fence, kind Kind, wrong, right []Suspect) ([]time.Time, error)
	// Place returns how far a walk got, "" for its beginning, and SetPlace notes it.
	Place(ctx context.Context, fence Fence, walk string) (string, error)
	SetPlace(ctx context.Context, fence Fence, walk, place string) error

	// Holding returns what is kept of a document; NotFound as [Store.Document].
	Holding(ctx context.Context, tenant, id string) (Holding, error)
	// OnRecord returns which keys of a tenant's blobs are on record.
	OnRecord(ctx context.Context, tenant string, keys []string) (map[string]bool, error)
	// Reopen starts a generation greater than above that does again what the
	// document's state needs, for an index that has lost something or has seen
	// what the record has not, as after a restored backup. Nothing is extracted
	// again whose chunks are all stored: then the document is embedding and
	// every batch is open, else accepted. A document that is deleted is being
	// deleted again. A failed one stays failed. The live version stays.
	Reopen(ctx context.Context, ref Ref, above int64) (corpus.Document, error)
}
