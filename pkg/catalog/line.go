package catalog

import (
	"context"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// Step is a kind of ingestion work that may have to wait for its turn.
type Step string

// The steps, and what [Turn].Number is of each.
const (
	// Extract reads a document: its generation.
	Extract Step = "extract"
	// Embed embeds the batches of a document: its generation.
	Embed Step = "embed"
	// Remove deletes a document: its generation.
	Remove Step = "remove"
	// Describe tells the index of acl and metadata: the row's revision.
	Describe Step = "describe"
)

// Turn is one document's work that waits until there is room for it in the
// ingestion queue. It holds all that is needed to give the work out.
type Turn struct {
	Tenant, ID string
	Step       Step
	Number     int64
	// Next is, of [Embed], the first batch that was not given out.
	Next int
	// Salt, when there is one, makes what is given out differ from what was
	// given out before, which the broker would take it for.
	Salt string
	// Since is when it began to wait. [Line.Wait] sets it.
	Since time.Time
}

// Steps returns every step.
func Steps() []Step { return []Step{Extract, Embed, Remove, Describe} }

// LineLength is how much work of one step waits, of all tenants together.
type LineLength struct {
	Step Step
	// Documents is how many documents wait.
	Documents int
	// Since is when the one began to wait that waits longest.
	Since time.Time
}

// Line is where work waits that the ingestion queue has no room for: a
// tenant's work stands here, in order, while the queue holds a window of it,
// so that nobody stands behind all that another tenant has.
//
// Work that waits does not move, and counts as moved while it waits:
// [Sweeper.Claim] and [Sweeper.Unconfirmed] do not return it, for a day at
// most; then they do, lest anything be forgotten here.
type Line interface {
	// Wait puts work at the end of its line. Work of the same step and document
	// that waits already keeps its place; the greater number counts, and of the
	// same one the smaller Next. It does not look whether the work is stale:
	// whoever gets it does.
	Wait(ctx context.Context, t Turn) error
	// Waiting returns up to limit turns of one tenant's step, in order.
	Waiting(ctx context.Context, tenant string, step Step, limit int) ([]Turn, error)
	// GivenOut takes turns, of one tenant, from the line. It is called after
	// the work has been given out, so that a crash in between gives it out
	// twice rather than never. A turn stays that is not what [Line.Waiting]
	// returned any more: somebody has put other work there since.
	GivenOut(ctx context.Context, turns []Turn) error
	// Advance notes that the batches of a turn before next were given out, unless
	// it has changed since as above.
	Advance(ctx context.Context, t Turn, next int) error
	// Lines returns up to limit tenants and steps that have work waiting, in
	// order and after the given ones; "", "" begins.
	Lines(ctx context.Context, afterTenant string, afterStep Step, limit int) ([]Turn, error)
	// Lengths returns how much waits, by step; a step that nothing waits for is
	// left out. It looks at everything that waits: ask it every few seconds at most.
	Lengths(ctx context.Context) ([]LineLength, error)
	// OpenFrom returns an embedding document with up to limit of its batches that
	// are not finished, from a number on; ErrStale as [Store.OpenBatches].
	OpenFrom(ctx context.Context, ref Ref, next, limit int) (corpus.Document, []Batch, error)
}
