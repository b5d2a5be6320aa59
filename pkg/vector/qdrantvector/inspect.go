package qdrantvector

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

var _ vector.Index = (*Store)(nil)

// Inspect implements [vector.Inspector], of the collection that searches use.
func (s *Store) Inspect(ctx context.Context, tenant, document string) (vector.State, error) {
	out, err := s.inspect(ctx, tenant, document)
	if err != nil {
		return vector.State{}, fmt.Errorf("inspect a document: %w", err)
	}
	return out, nil
}

func (s *Store) inspect(ctx context.Context, tenant, document string) (vector.State, error) {
	if err := checkIDs(tenant, document); err != nil {
		return vector.State{}, err
	}
	h, err := s.head(ctx, s.names.alias, tenant, document)
	if err != nil {
		return vector.State{}, err
	}
	out := vector.State{Points: make(map[string]int)}
	if h.Revision > 0 {
		out.Generation, out.Deleted, out.Live, out.Collection = max(h.Generation, 0), max(h.Deleted, 0), h.Live, h.Collection
	}
	if out.Live != "" {
		out.ACL, out.Metadata = h.ACL, h.Metadata
	}
	total, err := s.count(ctx, s.names.alias, &qdrant.Filter{Must: ofDocument(tenant, document)})
	if err != nil || total == 0 {
		return out, err
	}
	if out.Live != "" {
		n, err := s.count(ctx, s.names.alias, ofVersion(tenant, document, out.Live))
		if err != nil {
			return out, err
		}
		if n == total {
			out.Points[out.Live] = n
			return out, nil
		}
	}
	return out, s.countVersions(ctx, tenant, document, out.Points)
}

// countVersions reads which version each point of a document is of.
func (s *Store) countVersions(ctx context.Context, tenant, document string, counts map[string]int) error {
	var from *qdrant.PointId
	for {
		page, err := s.client.points().Scroll(ctx, &qdrant.ScrollPoints{
			CollectionName: s.names.alias, Filter: &qdrant.Filter{Must: ofDocument(tenant, document)}, Offset: from, Limit: new(uint32(maxQueryLimit)),
			WithPayload: qdrant.NewWithPayloadInclude(versionKey),
		})
		if err != nil {
			return err //nolint:wrapcheck // a fault of the client
		}
		for _, p := range page.GetResult() {
			counts[p.GetPayload()[versionKey].GetStringValue()]++
		}
		if from = page.GetNextPageOffset(); from == nil {
			return nil
		}
	}
}

// Walk implements [vector.Inspector]: points in the order of their ids, which
// follow from their names, so that a version is met in many parts.
func (s *Store) Walk(ctx context.Context, from string, limit int) ([]vector.Holding, string, error) {
	var offset *qdrant.PointId
	if from != "" {
		id, err := uuid.Parse(from)
		if err != nil {
			return nil, "", fault.Invalidf("invalid_cursor", "the place to go on from is not one of this index").WithField("from")
		}
		offset = qdrant.NewIDUUID(id.String())
	}
	page, err := s.client.points().Scroll(ctx, &qdrant.ScrollPoints{
		CollectionName: s.names.alias, Offset: offset, Limit: new(uint32(min(max(limit, 1), maxQueryLimit))),
		WithPayload: qdrant.NewWithPayloadInclude(tenantKey, documentKey, versionKey),
	})
	if err != nil {
		return nil, "", fmt.Errorf("walk the index: %w", err)
	}
	var part []vector.Holding
	met := make(map[vector.Holding]int)
	for _, p := range page.GetResult() {
		payload := p.GetPayload()
		h := vector.Holding{
			Tenant: payload[tenantKey].GetStringValue(), Document: payload[documentKey].GetStringValue(), Version: payload[versionKey].GetStringValue(),
		}
		if h.Tenant == "" {
			continue // a head, or the marker
		}
		at, known := met[h]
		if !known {
			at = len(part)
			met[h] = at
			part = append(part, h)
		}
		part[at].Points++
	}
	return part, page.GetNextPageOffset().GetUuid(), nil
}

// Forget implements [vector.Inspector]. The head goes last and only if nobody
// has changed it meanwhile, so that one that was interrupted is found again.
func (s *Store) Forget(ctx context.Context, tenant, document string, generation int64) error {
	if err := checkIDs(tenant, document); err != nil {
		return err
	}
	defer s.leans.forget(tenant)
	return s.everywhere(ctx, "forget a document", func(ctx context.Context, p place) error {
		h, err := s.head(ctx, p.collection, tenant, document)
		if err != nil || h.Generation > generation {
			return err
		}
		if err := s.remove(ctx, p.collection, &qdrant.Filter{Must: append(ofDocument(tenant, document), upTo(generation))}); err != nil {
			return err
		}
		return s.remove(ctx, p.collection, &qdrant.Filter{Must: []*qdrant.Condition{
			qdrant.NewHasID(headID(tenant, document)), qdrant.NewMatchInt(revisionKey, h.Revision),
		}})
	})
}
