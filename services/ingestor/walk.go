package ingestor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

// How much of each walk one round does.
const (
	documentsAtOnce = 50
	pointsAtOnce    = 500
	bytesAtOnce     = 500
)

// walks compare everything, a bounded part at a time. How far each got is on
// record, so that whoever takes over the sweep goes on there; one that is done
// rests until its time has come again.
type walks struct {
	s     *Service
	fence catalog.Fence
	// rests is when each walk begins again that is done.
	rests map[string]time.Time
}

func (s *Service) newWalks(fence catalog.Fence) *walks {
	return &walks{s: s, fence: fence, rests: make(map[string]time.Time)}
}

// step does the next part of each walk.
func (w *walks) step(ctx context.Context) error {
	for _, walk := range []struct {
		name string
		part func(ctx context.Context, from string) (next string, err error)
	}{
		{"documents", w.documents}, {"points", w.points}, {"bytes", w.bytes},
	} {
		if w.s.now().Before(w.rests[walk.name]) {
			continue
		}
		if err := w.part(ctx, walk.name, walk.part); err != nil {
			return fmt.Errorf("compare %s: %w", walk.name, err)
		}
	}
	return nil
}

func (w *walks) part(ctx context.Context, name string, part func(ctx context.Context, from string) (string, error)) error {
	from, err := w.s.deps.Record.Place(ctx, w.fence, name)
	if err != nil {
		return err //nolint:wrapcheck // step wraps
	}
	next, err := part(ctx, from)
	if fault.Is(err, fault.Invalid) && from != "" {
		// A place in a store that was replaced since.
		next, err = "", nil
	}
	if err != nil {
		return err
	}
	if next == "" {
		w.rests[name] = w.s.now().Add(w.s.cfg.ReconcileInterval)
	}
	return w.s.deps.Record.SetPlace(ctx, w.fence, name, next) //nolint:wrapcheck // step wraps
}

// documents compares each document with what the stores hold of it.
func (w *walks) documents(ctx context.Context, from string) (string, error) {
	tenant, id, _ := strings.Cut(from, "/")
	docs, err := w.s.deps.Record.Changed(ctx, time.Time{}, tenant, id, documentsAtOnce)
	if err != nil {
		return "", err //nolint:wrapcheck // step wraps
	}
	for _, doc := range docs {
		if !doc.Status.Settled() {
			continue // the sweep's other half
		}
		differences, err := w.s.checker.Document(ctx, doc.Tenant, doc.ID)
		if err != nil {
			return "", err //nolint:wrapcheck // step wraps
		}
		w.log(ctx, differences)
	}
	if len(docs) < documentsAtOnce {
		return "", nil
	}
	last := docs[len(docs)-1]
	return last.Tenant + "/" + last.ID, nil
}

func (w *walks) log(ctx context.Context, differences []reconcile.Difference) {
	for _, d := range differences {
		if d.Kind == reconcile.BytesMissing {
			continue // said by every round until somebody uploads them: `ragbus verify` tells
		}
		w.s.log.WarnContext(ctx, "the stores differ from the record", "kind", string(d.Kind), "document", d.Document, "what", d.What, "mended", d.Mended, "done", d.Done)
	}
}

// points looks for documents in the index that the record does not know.
func (w *walks) points(ctx context.Context, from string) (string, error) {
	part, next, err := w.s.deps.Index.Walk(ctx, from, pointsAtOnce)
	if err != nil {
		return "", err //nolint:wrapcheck // step wraps
	}
	found, err := w.s.checker.Points(ctx, part)
	if err != nil {
		return "", err //nolint:wrapcheck // step wraps
	}
	return next, w.remove(ctx, catalog.OrphanPoints, found, w.s.checker.RemovePoints)
}

// bytes looks for blobs that the record does not know.
func (w *walks) bytes(ctx context.Context, from string) (string, error) {
	items, next, err := w.s.deps.Blobs.Page(ctx, from, bytesAtOnce)
	if err != nil {
		return "", err //nolint:wrapcheck // step wraps
	}
	found, err := w.s.checker.Bytes(ctx, items)
	if err != nil {
		return "", err //nolint:wrapcheck // step wraps
	}
	return next, w.remove(ctx, catalog.OrphanBlob, found, w.s.checker.RemoveBytes)
}

// remove removes what has been unknown for the grace. The grace begins when
// it is first seen, whatever its age: after an old backup was restored there
// must be time to restore a better one.
func (w *walks) remove(ctx context.Context, kind catalog.Kind, found reconcile.Orphans, remove func(context.Context, catalog.Suspect) error) error {
	if len(found.Unknown)+len(found.Known) == 0 {
		return nil
	}
	since, err := w.s.deps.Record.Suspect(ctx, w.fence, kind, found.Unknown, found.Known)
	if err != nil {
		return err //nolint:wrapcheck // step wraps
	}
	var gone []catalog.Suspect
	for i, orphan := range found.Unknown {
		if w.s.now().Sub(since[i]) < w.s.cfg.OrphanGrace {
			continue
		}
		if err := remove(ctx, orphan); err != nil {
			return err
		}
		gone = append(gone, orphan)
		w.s.log.WarnContext(ctx, "removed what the record does not know", "kind", string(kind), "name", orphan.Name, "since", since[i])
	}
	if len(gone) == 0 {
		return nil
	}
	_, err = w.s.deps.Record.Suspect(ctx, w.fence, kind, nil, gone)
	return err //nolint:wrapcheck // step wraps
}
