package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// looks bounds how often a document is looked at that changes meanwhile.
const looks = 3

// finding is a document with what differs and what mends it.
type finding struct {
	doc         corpus.Document
	held        catalog.Holding
	state       vector.State
	differences []Difference
	// mend does what is needed, the same for all differences, and says what
	// that was; nil when nothing can be done, and then hint says what people can.
	mend func(ctx context.Context) (string, error)
	hint string
}

func (f *finding) addf(kind Kind, format string, args ...any) {
	f.differences = append(f.differences, Difference{Kind: kind, Tenant: f.doc.Tenant, Document: f.doc.ID, What: fmt.Sprintf(format, args...)})
}

func (f *finding) has(kinds ...Kind) bool {
	return slices.ContainsFunc(f.differences, func(d Difference) bool { return slices.Contains(kinds, d.Kind) })
}

// Document compares one document. It returns nothing for one that changes,
// or has just changed: work on it is under way.
func (c *Checker) Document(ctx context.Context, tenant, id string) ([]Difference, error) {
	for range looks {
		f, err := c.compare(ctx, tenant, id)
		if err != nil || f == nil || len(f.differences) == 0 {
			return nil, err
		}
		// Of two moments: was it the same document in both?
		now, err := c.parts.Record.Document(ctx, tenant, id)
		if err != nil {
			return nil, fmt.Errorf("look at a document again: %w", err)
		}
		if now.Generation != f.doc.Generation || !now.UpdatedAt.Equal(f.doc.UpdatedAt) {
			continue
		}
		if c.cfg.Repair {
			c.repair(ctx, f)
		}
		return f.differences, nil
	}
	return nil, nil
}

func (c *Checker) repair(ctx context.Context, f *finding) {
	done, mended := f.hint, false
	if f.mend != nil {
		var err error
		if done, err = f.mend(ctx); err != nil {
			done = "not mended: " + reason(err)
		}
		mended = err == nil
	}
	for i := range f.differences {
		d := &f.differences[i]
		if d.Kind == BytesMissing {
			d.Done = "upload the document again"
			continue
		}
		d.Mended, d.Done = mended, done
	}
}

func reason(err error) string {
	if errors.Is(err, catalog.ErrStale) || errors.Is(err, vector.ErrStale) {
		return "the document has changed meanwhile"
	}
	return err.Error()
}

// compare returns nil for a document that is left alone.
func (c *Checker) compare(ctx context.Context, tenant, id string) (*finding, error) {
	doc, err := c.parts.Record.Document(ctx, tenant, id)
	if err != nil {
		if fault.Is(err, fault.NotFound) {
			return nil, nil //nolint:nilnil // nothing to compare with
		}
		return nil, fmt.Errorf("read a document: %w", err)
	}
	f := &finding{doc: doc}
	if f.held, err = c.parts.Record.Holding(ctx, tenant, id); err != nil {
		return nil, fmt.Errorf("read what is kept of a document: %w", err)
	}
	if !doc.Status.Settled() {
		c.compareMoving(f)
		return f, nil
	}
	if c.now().Sub(doc.UpdatedAt) < c.cfg.Settling {
		return nil, nil //nolint:nilnil // as documented
	}
	if f.state, err = c.parts.Index.Inspect(ctx, tenant, id); err != nil {
		return nil, fmt.Errorf("inspect the index: %w", err)
	}
	switch doc.Status {
	case corpus.Indexed:
		if err := c.compareIndexed(ctx, f); err != nil {
			return nil, err
		}
	case corpus.Failed:
		c.compareFailed(f)
	case corpus.Deleted:
		c.compareDeleted(f)
	case corpus.Accepted, corpus.Extracting, corpus.Embedding, corpus.Deleting:
	}
	return f, c.compareBytes(ctx, f)
}

// compareMoving leaves a document alone whose work goes on.
func (c *Checker) compareMoving(f *finding) {
	rest := c.now().Sub(f.held.MovedAt)
	if f.held.MovedAt.IsZero() || rest < c.cfg.Stuck {
		return
	}
	f.addf(Stuck, "%s, has not moved for %s", f.doc.Status, rest.Round(time.Second))
	f.mend = func(ctx context.Context) (string, error) {
		n, err := c.emit(ctx, f.doc)
		if err != nil {
			return "", err
		}
		return c.began(n, "its work was given out again"), nil
	}
}

func (c *Checker) compareIndexed(ctx context.Context, f *finding) error {
	doc, state := f.doc, f.state
	live, others := state.Points[doc.LiveVersion], otherPoints(state, doc.LiveVersion)
	if f.held.LiveChunks < doc.Chunks {
		f.addf(ChunksMissing, "%d of %d texts are stored", f.held.LiveChunks, doc.Chunks)
	}
	if live < doc.Chunks {
		f.addf(PointsMissing, "%d of %d points", live, doc.Chunks)
	}
	if live > doc.Chunks {
		f.addf(PointsSurplus, "%d points of %d chunks", live, doc.Chunks)
	}
	if others > 0 {
		f.addf(PointsSurplus, "%d points of other versions", others)
	}
	if state.Live != doc.LiveVersion {
		f.addf(OtherVersion, "searches see %s, the record has %s", short(state.Live), short(doc.LiveVersion))
	}
	if newest := max(state.Generation, state.Deleted); newest > doc.Generation {
		f.addf(IndexAhead, "the index is at generation %d, the record at %d", newest, doc.Generation)
	}
	if state.Live == doc.LiveVersion && !sameAttributes(state, doc) {
		f.addf(AttributesStale, "acl or metadata of before")
	}
	bytes, err := c.has(ctx, f.held.BlobKey)
	if err != nil {
		return err
	}
	if !bytes {
		f.addf(BytesMissing, "%d bytes", doc.Bytes)
	}
	c.decideIndexed(f, live, bytes)
	return nil
}

// has takes bytes for there that cannot be looked for.
func (c *Checker) has(ctx context.Context, key string) (bool, error) {
	if c.parts.Blobs == nil {
		return true, nil
	}
	found, err := c.parts.Blobs.Has(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look for a document's bytes: %w", err)
	}
	return found, nil
}

func (c *Checker) decideIndexed(f *finding, live int, bytes bool) {
	doc := f.doc
	switch {
	case f.has(ChunksMissing) && !bytes:
		f.hint = "neither its texts nor its bytes are there: upload the document again"
	case live > doc.Chunks:
		f.mend = func(ctx context.Context) (string, error) {
			if err := c.parts.Index.Delete(ctx, doc.Tenant, doc.ID, max(f.state.Generation, doc.Generation)); err != nil {
				return "", err //nolint:wrapcheck // reported as it is
			}
			return c.reopen(ctx, f)
		}
	case f.has(ChunksMissing, PointsMissing, OtherVersion, IndexAhead):
		f.mend = func(ctx context.Context) (string, error) { return c.reopen(ctx, f) }
	case f.has(PointsSurplus):
		f.mend = func(ctx context.Context) (string, error) {
			if f.has(AttributesStale) {
				if err := c.setAttributes(ctx, doc); err != nil {
					return "", err
				}
			}
			err := c.parts.Index.Sweep(ctx, Indexed(doc))
			return "the points of other versions were removed", err //nolint:wrapcheck // reported as it is
		}
	case f.has(AttributesStale):
		f.mend = func(ctx context.Context) (string, error) {
			return "the index follows", c.setAttributes(ctx, doc)
		}
	}
}

// compareFailed: the live version, if there is one, is what searches see; a
// version that failed on its way is in the way.
func (c *Checker) compareFailed(f *finding) {
	doc, state := f.doc, f.state
	f.hint = "upload the document again, or fill the index anew (ragbus reindex)"
	if doc.LiveVersion != "" && state.Points[doc.LiveVersion] < f.held.LiveChunks {
		f.addf(PointsMissing, "%d of %d points of the live version; its successor failed", state.Points[doc.LiveVersion], f.held.LiveChunks)
	}
	if doc.LiveVersion != "" && state.Live != doc.LiveVersion {
		f.addf(OtherVersion, "searches see %s, the record has %s; its successor failed", short(state.Live), short(doc.LiveVersion))
	}
	if f.has(PointsMissing, OtherVersion) {
		return
	}
	if others := otherPoints(state, doc.LiveVersion); others > 0 {
		f.addf(PointsSurplus, "%d points of a version that failed", others)
		f.mend = func(ctx context.Context) (string, error) { return "they were removed", c.dropDark(ctx, doc) }
	}
	if newest := max(state.Generation, state.Deleted); newest > doc.Generation {
		f.addf(IndexAhead, "the index is at generation %d, the record at %d", newest, doc.Generation)
		f.mend = func(ctx context.Context) (string, error) {
			next, err := c.parts.Record.Reopen(ctx, RefOf(doc), newest)
			if err != nil {
				return "", err //nolint:wrapcheck // reported as it is
			}
			return "the record is ahead again", c.dropDark(ctx, next)
		}
	}
}

// dropDark removes what is in the index of a failed document but its live version.
func (c *Checker) dropDark(ctx context.Context, doc corpus.Document) error {
	if doc.LiveVersion == "" {
		return c.parts.Index.Delete(ctx, doc.Tenant, doc.ID, doc.Generation) //nolint:wrapcheck // reported as it is
	}
	keep := Indexed(doc)
	keep.Version = doc.LiveVersion
	return c.parts.Index.Sweep(ctx, keep) //nolint:wrapcheck // reported as it is
}

func (c *Checker) compareDeleted(f *finding) {
	if n := otherPoints(f.state, ""); n > 0 {
		f.addf(PointsSurplus, "%d points of a document that is deleted", n)
	}
	if newest := max(f.state.Generation, f.state.Deleted); newest > f.doc.Generation {
		f.addf(IndexAhead, "the index is at generation %d, the record at %d", newest, f.doc.Generation)
	}
	f.mend = func(ctx context.Context) (string, error) { return c.reopen(ctx, f) }
}

// compareBytes looks for bytes that the document no longer needs.
func (c *Checker) compareBytes(ctx context.Context, f *finding) error {
	if f.doc.Status == corpus.Failed || c.parts.Blobs == nil {
		return nil
	}
	keys, err := c.parts.Record.StaleBlobs(ctx, RefOf(f.doc))
	if err != nil || len(keys) == 0 {
		return ignoreStale(err)
	}
	left := 0
	for _, key := range keys {
		there, err := c.parts.Blobs.Has(ctx, key)
		if err != nil {
			return fmt.Errorf("look for superseded bytes: %w", err)
		}
		if there {
			left++
		}
	}
	if left == 0 {
		if !c.cfg.Repair {
			return nil
		}
		return ignoreStale(c.parts.Record.ForgetBlobs(ctx, RefOf(f.doc), keys))
	}
	before := f.mend
	if len(f.differences) == 0 {
		before = nil
	}
	f.addf(BytesSurplus, "%d uploads that it no longer needs", left)
	f.mend = func(ctx context.Context) (string, error) {
		for _, key := range keys {
			if err := c.parts.Blobs.Delete(ctx, key); err != nil {
				return "", err //nolint:wrapcheck // reported as it is
			}
		}
		if err := c.parts.Record.ForgetBlobs(ctx, RefOf(f.doc), keys); err != nil {
			return "", err //nolint:wrapcheck // reported as it is
		}
		if before == nil {
			return "they were removed", nil
		}
		return before(ctx)
	}
	return nil
}

func ignoreStale(err error) error {
	if errors.Is(err, catalog.ErrStale) {
		return nil
	}
	return err
}

// otherPoints counts the points of all versions but one.
func otherPoints(state vector.State, but string) int {
	n := 0
	for version, points := range state.Points {
		if version != but {
			n += points
		}
	}
	return n
}

func sameAttributes(state vector.State, doc corpus.Document) bool {
	return (state.ACL == nil) == (doc.ACL == nil) && slices.Equal(state.ACL, doc.ACL) && maps.Equal(state.Metadata, doc.Metadata)
}

// short is a version as people can tell it from another.
func short(version string) string {
	if version == "" {
		return "none"
	}
	return fmt.Sprintf("%.12s", version)
}
