package qdrantvector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"

	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// What one request to write may hold.
const (
	maxBatchPoints = 128
	maxBatchBytes  = 4 << 20
	maxOrdinal     = math.MaxInt32
)

// Upsert implements [vector.Store]. Points of the version that is live
// already are seen at once.
func (s *Store) Upsert(ctx context.Context, doc vector.Document, points []vector.Point) error {
	if err := checkDocument(doc); err != nil {
		return err
	}
	given, err := checkAttributes(doc)
	if err != nil {
		return err
	}
	encoded, err := s.encode(doc, points)
	if err != nil {
		return err
	}
	return s.everywhere(ctx, "upsert points", func(ctx context.Context, p place) error {
		return s.upsert(ctx, p, doc, given, encoded)
	})
}

func (s *Store) upsert(ctx context.Context, p place, doc vector.Document, given attributes, points []*qdrant.PointStruct) error {
	h, err := s.change(ctx, p.collection, doc.Tenant, doc.ID, func(h *head) (bool, error) {
		newer := doc.Generation > h.Generation
		err := h.fence(doc)
		h.Generation = max(h.Generation, doc.Generation)
		return newer, err
	})
	if err != nil {
		return err
	}
	live, collection := h.Live == doc.Version, doc.Collection
	if live {
		given, collection = h.attributes, h.Collection
	}
	if err := s.put(ctx, p.collection, dressed(points, given, collection, live)); err != nil {
		return err
	}
	// A newer writer or a deletion that came between has swept before these
	// points were there, and will not come again.
	now, err := s.head(ctx, p.collection, doc.Tenant, doc.ID)
	if err != nil {
		return err
	}
	if stale := now.fence(doc); stale != nil {
		if now.Live == doc.Version {
			return stale
		}
		late := ofVersion(doc.Tenant, doc.ID, doc.Version)
		late.Must = append(late.Must, upTo(doc.Generation))
		return errors.Join(stale, s.remove(ctx, p.collection, late))
	}
	return nil
}

// dressed returns the points with what their document gives them.
func dressed(points []*qdrant.PointStruct, a attributes, collection string, live bool) []*qdrant.PointStruct {
	common := a.payload()
	common[collectionKey], common[liveKey] = qdrant.NewValueString(collection), qdrant.NewValueBool(live)
	out := make([]*qdrant.PointStruct, len(points))
	for i, p := range points {
		payload := maps.Clone(p.GetPayload())
		maps.Copy(payload, common)
		out[i] = &qdrant.PointStruct{Id: p.GetId(), Vectors: p.GetVectors(), Payload: payload}
	}
	return out
}

// encode analyses points. Nothing is written unless all are valid.
func (s *Store) encode(doc vector.Document, points []vector.Point) ([]*qdrant.PointStruct, error) {
	out := make([]*qdrant.PointStruct, len(points))
	for i, p := range points {
		if p.Ordinal < 0 || p.Ordinal > maxOrdinal {
			return nil, fault.Invalidf("invalid_ordinal", "the ordinal %d is not in 0 to %d", p.Ordinal, maxOrdinal).WithField("ordinal")
		}
		words := s.words.Analyze(p.Text)
		vectors := map[string]*qdrant.Vector{sparseVector: weights(words)}
		if p.Dense != nil {
			if err := checkVector(p.Dense, s.cfg.Dimensions); err != nil {
				return nil, err
			}
			vectors[denseVector] = qdrant.NewVectorDense(p.Dense)
		}
		ref := corpus.ChunkRef{Tenant: doc.Tenant, Document: doc.ID, Version: doc.Version, Ordinal: p.Ordinal}
		out[i] = &qdrant.PointStruct{
			Id: qdrant.NewIDUUID(corpus.PointID(ref, s.cfg.ProfileKey)), Vectors: qdrant.NewVectorsMap(vectors),
			Payload: map[string]*qdrant.Value{
				tenantKey: qdrant.NewValueString(doc.Tenant), documentKey: qdrant.NewValueString(doc.ID), versionKey: qdrant.NewValueString(doc.Version),
				refKey: qdrant.NewValueString(refOf(doc, p.Ordinal)), generationKey: qdrant.NewValueInt(doc.Generation),
				leanKey: qdrant.NewValueInt(int64(10*words.EnglishWords - words.Words)),
			},
		}
	}
	return out, nil
}

// put writes points in batches, each durable before the next.
func (s *Store) put(ctx context.Context, collection string, points []*qdrant.PointStruct) error {
	for len(points) > 0 {
		n, size := 0, 0
		for n < min(len(points), maxBatchPoints) && (n == 0 || size < maxBatchBytes) {
			size += sizeOf(points[n])
			n++
		}
		_, err := s.client.points().Upsert(ctx, &qdrant.UpsertPoints{
			CollectionName: collection, Wait: new(true), Ordering: medium(), Points: points[:n],
		})
		if err != nil {
			return err //nolint:wrapcheck // a fault of the client
		}
		points = points[n:]
	}
	return nil
}

// sizeOf is about the size of a point in a request, in bytes.
func sizeOf(p *qdrant.PointStruct) int {
	const rest, number = 1024, 4
	named := p.GetVectors().GetVectors().GetVectors()
	return rest + number*len(named[denseVector].GetDense().GetData()) + 2*number*len(named[sparseVector].GetSparse().GetIndices())
}

// medium ordering keeps the writes of this process in order on every replica.
func medium() *qdrant.WriteOrdering {
	return &qdrant.WriteOrdering{Type: qdrant.WriteOrderingType_Medium}
}

func (s *Store) setPayload(ctx context.Context, collection string, of *qdrant.Filter, payload map[string]*qdrant.Value) error {
	_, err := s.client.points().SetPayload(ctx, &qdrant.SetPayloadPoints{
		CollectionName: collection, Wait: new(true), Ordering: medium(), Payload: payload, PointsSelector: qdrant.NewPointsSelectorFilter(of),
	})
	return err //nolint:wrapcheck // a fault of the client
}

func (s *Store) remove(ctx context.Context, collection string, of *qdrant.Filter) error {
	_, err := s.client.points().Delete(ctx, &qdrant.DeletePoints{
		CollectionName: collection, Wait: new(true), Ordering: medium(), Points: qdrant.NewPointsSelectorFilter(of),
	})
	return err //nolint:wrapcheck // a fault of the client
}

// Activate implements [vector.Store]. The version's points are marked first,
// which nobody sees; the head's change is the step.
func (s *Store) Activate(ctx context.Context, doc vector.Document) error {
	if err := checkDocument(doc); err != nil {
		return err
	}
	given, err := checkAttributes(doc)
	if err != nil {
		return err
	}
	defer s.leans.forget(doc.Tenant)
	return s.everywhere(ctx, "activate a version", func(ctx context.Context, p place) error {
		return s.activate(ctx, p, doc, given)
	})
}

func (s *Store) activate(ctx context.Context, p place, doc vector.Document, given attributes) error {
	payload := given.payload()
	payload[collectionKey], payload[liveKey] = qdrant.NewValueString(doc.Collection), qdrant.NewValueBool(true)
	_, err := s.change(ctx, p.collection, doc.Tenant, doc.ID, func(h *head) (bool, error) {
		if err := h.fence(doc); err != nil {
			return false, err
		}
		if p.rebuild && h.Live != "" && h.Live != doc.Version && !h.Rebuilt && h.LiveGeneration >= doc.Generation {
			return false, fault.As(fault.Permanent, vector.ErrStale)
		}
		if p.missing != nil {
			if err := p.missing(ctx, doc.Tenant, doc.ID, doc.Version); err != nil {
				return false, err
			}
		}
		if err := s.setPayload(ctx, p.collection, ofVersion(doc.Tenant, doc.ID, doc.Version), payload); err != nil {
			return false, err
		}
		h.Retired = h.Retired || h.Live != "" && h.Live != doc.Version
		h.Live, h.LiveGeneration, h.Generation = doc.Version, doc.Generation, doc.Generation
		h.Collection, h.attributes, h.Flipped = doc.Collection, given, s.now().UnixMilli()
		h.Rebuilt = p.rebuild
		return true, nil
	})
	return err
}

// SetAttributes implements [vector.Store].
func (s *Store) SetAttributes(ctx context.Context, doc vector.Document) error {
	given, err := checkAttributes(doc)
	if err != nil {
		return err
	}
	if err := checkIDs(doc.Tenant, doc.ID); err != nil {
		return err
	}
	return s.everywhere(ctx, "set attributes", func(ctx context.Context, p place) error {
		return s.setAttributes(ctx, p, doc.Tenant, doc.ID, given)
	})
}

func (s *Store) setAttributes(ctx context.Context, p place, tenant, document string, given attributes) error {
	h, err := s.change(ctx, p.collection, tenant, document, func(h *head) (bool, error) {
		h.attributes = given
		return h.Revision > 0, nil
	})
	if err != nil || h.Revision == 0 {
		return err
	}
	// Until the points say what the head says: another change may come between.
	for range changeAttempts {
		if err := s.setPayload(ctx, p.collection, &qdrant.Filter{Must: ofDocument(tenant, document)}, h.payload()); err != nil {
			return err
		}
		now, err := s.head(ctx, p.collection, tenant, document)
		if err != nil || now.Revision == h.Revision {
			return err
		}
		h = now
	}
	return fault.Transientf("index_contended", "too many writers change the same document at once")
}

func checkIDs(tenant, document string) error {
	if err := errors.Join(corpus.CheckToken("tenant", tenant), corpus.CheckToken("id", document)); err != nil {
		return fmt.Errorf("check the document: %w", fault.As(fault.Invalid, err))
	}
	return nil
}

// Sweep implements [vector.Store]. Where a version that was live goes, it
// waits for the searches that have begun.
func (s *Store) Sweep(ctx context.Context, doc vector.Document) error {
	if err := errors.Join(checkIDs(doc.Tenant, doc.ID), corpus.CheckToken("version", doc.Version)); err != nil {
		return fmt.Errorf("check the document: %w", fault.As(fault.Invalid, err))
	}
	defer s.leans.forget(doc.Tenant)
	return s.everywhere(ctx, "sweep old versions", func(ctx context.Context, p place) error {
		return s.sweep(ctx, p, doc)
	})
}

func (s *Store) sweep(ctx context.Context, p place, doc vector.Document) error {
	h, err := s.change(ctx, p.collection, doc.Tenant, doc.ID, func(h *head) (bool, error) {
		if err := h.fence(doc); err != nil {
			return false, err
		}
		hides := h.Live != "" && h.Live != doc.Version
		changed := hides || doc.Generation > h.Generation
		h.Generation = doc.Generation
		if hides {
			h.Live, h.Retired, h.Flipped = "", true, s.now().UnixMilli()
		}
		return changed, nil
	})
	if err != nil {
		return err
	}
	if h.Retired {
		if err := sleep(ctx, s.cfg.Grace); err != nil {
			return fmt.Errorf("wait for searches that have begun: %w", err)
		}
	}
	others := &qdrant.Filter{
		Must:    append(ofDocument(doc.Tenant, doc.ID), upTo(doc.Generation)),
		MustNot: []*qdrant.Condition{qdrant.NewMatchKeyword(versionKey, doc.Version)},
	}
	if err := s.remove(ctx, p.collection, others); err != nil || !h.Retired {
		return err
	}
	_, err = s.change(ctx, p.collection, doc.Tenant, doc.ID, func(now *head) (bool, error) {
		now.Retired = false
		return now.Revision == h.Revision, nil
	})
	return err
}

// Delete implements [vector.Store].
func (s *Store) Delete(ctx context.Context, tenant, document string, generation int64) error {
	if err := checkIDs(tenant, document); err != nil {
		return err
	}
	defer s.leans.forget(tenant)
	return s.everywhere(ctx, "delete a document", func(ctx context.Context, p place) error {
		return s.delete(ctx, p, tenant, document, generation)
	})
}

func (s *Store) delete(ctx context.Context, p place, tenant, document string, generation int64) error {
	h, err := s.change(ctx, p.collection, tenant, document, func(h *head) (bool, error) {
		hides := h.Live != "" && h.LiveGeneration <= generation
		changed := hides || generation > h.Generation || generation > h.Deleted
		h.Generation, h.Deleted = max(h.Generation, generation), max(h.Deleted, generation)
		if hides {
			h.Live, h.attributes, h.Flipped = "", attributes{ACL: []string{}}, s.now().UnixMilli()
		}
		return changed, nil
	})
	if err != nil {
		return err
	}
	gone := &qdrant.Filter{Must: append(ofDocument(tenant, document), upTo(generation))}
	if h.Live != "" {
		gone.MustNot = []*qdrant.Condition{qdrant.NewMatchKeyword(versionKey, h.Live)}
	}
	return s.remove(ctx, p.collection, gone)
}

// Count implements [vector.Store].
func (s *Store) Count(ctx context.Context, tenant, document, version string) (int, error) {
	n, err := s.count(ctx, s.names.alias, ofVersion(text(tenant), text(document), text(version)))
	if err != nil {
		return 0, fmt.Errorf("count the points of a version: %w", err)
	}
	return n, nil
}

func (s *Store) count(ctx context.Context, collection string, of *qdrant.Filter) (int, error) {
	answer, err := s.client.points().Count(ctx, &qdrant.CountPoints{CollectionName: collection, Filter: of, Exact: new(true)})
	if err != nil {
		return 0, err //nolint:wrapcheck // a fault of the client
	}
	return int(answer.GetResult().GetCount()), nil
}
