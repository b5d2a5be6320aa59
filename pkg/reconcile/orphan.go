package reconcile

import (
	"context"
	"fmt"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// Orphans are what a part of a walk found: what the record does not know, and what it does.
type Orphans struct {
	Unknown, Known []catalog.Suspect
}

// Bytes looks which of some blobs the record does not know. Those younger than
// the grace are left out: their upload may be under way.
func (c *Checker) Bytes(ctx context.Context, items []blob.Item) (Orphans, error) {
	var out Orphans
	old := make(map[string][]string)
	for _, item := range items {
		if c.now().Sub(item.ModTime) >= c.cfg.Grace {
			old[item.Owner()] = append(old[item.Owner()], item.Key)
		}
	}
	for tenant, keys := range old {
		known, err := c.parts.Record.OnRecord(ctx, tenant, keys)
		if err != nil {
			return out, fmt.Errorf("look for blobs on record: %w", err)
		}
		for _, key := range keys {
			out.put(known[key], catalog.Suspect{Tenant: tenant, Name: key})
		}
	}
	return out, nil
}

// Points looks which of some versions in the index are of documents that the
// record does not know.
func (c *Checker) Points(ctx context.Context, part []vector.Holding) (Orphans, error) {
	var out Orphans
	met := make(map[catalog.Suspect]bool)
	for _, h := range part {
		s := catalog.Suspect{Tenant: h.Tenant, Name: h.Document}
		if met[s] {
			continue
		}
		met[s] = true
		_, err := c.parts.Record.Document(ctx, h.Tenant, h.Document)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return out, fmt.Errorf("look for a document: %w", err)
		}
		out.put(err == nil, s)
	}
	return out, nil
}

func (o *Orphans) put(known bool, s catalog.Suspect) {
	if known {
		o.Known = append(o.Known, s)
	} else {
		o.Unknown = append(o.Unknown, s)
	}
}

// RemoveBytes removes orphaned bytes. The key of an upload is never used again,
// so that nobody can have accepted it meanwhile who did not for the grace.
func (c *Checker) RemoveBytes(ctx context.Context, s catalog.Suspect) error {
	return c.parts.Blobs.Delete(ctx, s.Name) //nolint:wrapcheck // says what
}

// RemovePoints removes a document from the index that the record does not
// know, unless it does by now.
func (c *Checker) RemovePoints(ctx context.Context, s catalog.Suspect) error {
	state, err := c.parts.Index.Inspect(ctx, s.Tenant, s.Name)
	if err != nil {
		return err //nolint:wrapcheck // says what
	}
	// Looked up last: a row that comes now begins with a generation that the
	// index refuses, and then its work is done again in a later one.
	if _, err := c.parts.Record.Document(ctx, s.Tenant, s.Name); !fault.Is(err, fault.NotFound) {
		return err //nolint:wrapcheck // says what
	}
	return c.parts.Index.Forget(ctx, s.Tenant, s.Name, max(state.Generation, state.Deleted)) //nolint:wrapcheck // says what
}
