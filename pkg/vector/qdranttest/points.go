package qdranttest

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// payloadStep is how many points a payload update changes before readers see
// them: a real server's updates are not one step either.
const payloadStep = 32

// pointsService implements the service "Points".
type pointsService struct {
	qdrant.UnimplementedPointsServer
	server *Server
}

func completed() *qdrant.PointsOperationResponse {
	return &qdrant.PointsOperationResponse{Result: &qdrant.UpdateResult{Status: qdrant.UpdateStatus_Completed}}
}

// Upsert puts whole points, those that exist only where the update filter lets them.
func (s pointsService) Upsert(_ context.Context, req *qdrant.UpsertPoints) (*qdrant.PointsOperationResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	if len(req.GetPoints()) == 0 {
		return nil, invalid("Empty update request")
	}
	if err := c.checkUpsert(len(req.GetPoints())); err != nil {
		return nil, err
	}
	if mode := req.GetUpdateMode(); mode != qdrant.UpdateMode_Upsert {
		return nil, status.Errorf(codes.Unimplemented, "the stand-in does not know the update mode %s", mode)
	}
	points := make([]*point, len(req.GetPoints()))
	for i, in := range req.GetPoints() {
		if points[i], err = c.newPoint(in); err != nil {
			return nil, err
		}
	}
	let, err := compile(req.GetUpdateFilter())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range points {
		if old := c.points[p.key]; old == nil || req.GetUpdateFilter() == nil || let(old) {
			if err := c.put(p); err != nil {
				return nil, err
			}
		}
	}
	return completed(), nil
}

// Delete removes points by id or by filter.
func (s pointsService) Delete(_ context.Context, req *qdrant.DeletePoints) (*qdrant.PointsOperationResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	keys, err := c.selected(req.GetPoints(), false)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		c.remove(key)
	}
	return completed(), nil
}

// selected returns the keys of the points that a selector names. Unknown ids
// are an error where strict is set.
func (c *collection) selected(selector *qdrant.PointsSelector, strict bool) ([]string, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var keys []string
	switch v := selector.GetPointsSelectorOneOf().(type) {
	case *qdrant.PointsSelector_Points:
		for _, id := range v.Points.GetIds() {
			key, err := keyOf(id)
			if err != nil {
				return nil, err
			}
			if strict && c.points[key] == nil {
				return nil, status.Errorf(codes.NotFound, "Not found: No point with id %s found", key)
			}
			keys = append(keys, key)
		}
	case *qdrant.PointsSelector_Filter:
		if err := c.checkFilter(v.Filter, c.limits.UnindexedFilteringUpdate); err != nil {
			return nil, err
		}
		found, err := c.matching(v.Filter)
		if err != nil {
			return nil, err
		}
		for _, p := range found {
			keys = append(keys, p.key)
		}
	default:
		return nil, invalid("PointSelector is missing")
	}
	slices.Sort(keys)
	return keys, nil
}

// SetPayload sets keys of the payload of points, a few points at a time.
func (s pointsService) SetPayload(_ context.Context, req *qdrant.SetPayloadPoints) (*qdrant.PointsOperationResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	if req.GetKey() != "" {
		return nil, status.Error(codes.Unimplemented, "the stand-in sets keys of the payload itself only")
	}
	keys, err := c.selected(req.GetPointsSelector(), true)
	if err != nil {
		return nil, err
	}
	for some := range slices.Chunk(keys, payloadStep) {
		if err := c.setPayload(some, req.GetPayload()); err != nil {
			return nil, err
		}
	}
	return completed(), nil
}

func (c *collection) setPayload(keys []string, payload map[string]*qdrant.Value) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		if old := c.points[key]; old != nil {
			if err := c.change(old, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// UpdateVectors sets vectors of points that exist.
func (s pointsService) UpdateVectors(_ context.Context, req *qdrant.UpdatePointVectors) (*qdrant.PointsOperationResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range req.GetPoints() {
		added, err := c.newPoint(&qdrant.PointStruct{Id: in.GetId(), Vectors: in.GetVectors()})
		if err != nil {
			return nil, err
		}
		old := c.points[added.key]
		if old == nil {
			return nil, status.Errorf(codes.NotFound, "Not found: No point with id %s found", added.key)
		}
		changed := old.clone()
		maps.Copy(changed.dense, added.dense)
		maps.Copy(changed.sparse, added.sparse)
		if err := c.put(changed); err != nil {
			return nil, err
		}
	}
	return completed(), nil
}

// CreateFieldIndex indexes a key of the payload, again and with another type if asked.
func (s pointsService) CreateFieldIndex(_ context.Context, req *qdrant.CreateFieldIndexCollection) (*qdrant.PointsOperationResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	if _, err := parsePath(req.GetFieldName()); err != nil {
		return nil, err
	}
	types := map[qdrant.FieldType]qdrant.PayloadSchemaType{
		qdrant.FieldType_FieldTypeKeyword: qdrant.PayloadSchemaType_Keyword, qdrant.FieldType_FieldTypeInteger: qdrant.PayloadSchemaType_Integer,
		qdrant.FieldType_FieldTypeFloat: qdrant.PayloadSchemaType_Float, qdrant.FieldType_FieldTypeBool: qdrant.PayloadSchemaType_Bool,
	}
	kind, ok := types[req.GetFieldType()]
	if !ok {
		return nil, status.Errorf(codes.Unimplemented, "the stand-in does not know the field type %s", req.GetFieldType())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index(req.GetFieldName(), &qdrant.PayloadSchemaInfo{DataType: kind, Params: req.GetFieldIndexParams()})
	return completed(), nil
}

// Get returns points by id; unknown ones are left out.
func (s pointsService) Get(_ context.Context, req *qdrant.GetPoints) (*qdrant.GetResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := &qdrant.GetResponse{}
	for _, id := range req.GetIds() {
		key, err := keyOf(id)
		if err != nil {
			return nil, err
		}
		if p := c.points[key]; p != nil {
			out.Result = append(out.Result, p.retrieved(req.GetWithPayload(), req.GetWithVectors()))
		}
	}
	return out, nil
}

// Count counts the points that a filter lets through.
func (s pointsService) Count(_ context.Context, req *qdrant.CountPoints) (*qdrant.CountResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	found, err := c.read(req.GetFilter())
	if err != nil {
		return nil, err
	}
	return &qdrant.CountResponse{Result: &qdrant.CountResult{Count: uint64(len(found))}}, nil
}

// read returns the points that the filter of a reading request lets through, ordered by id.
func (c *collection) read(f *qdrant.Filter) ([]*point, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if err := c.checkFilter(f, c.limits.UnindexedFilteringRetrieve); err != nil {
		return nil, err
	}
	found, err := c.matching(f)
	slices.SortFunc(found, func(a, b *point) int { return cmp.Compare(a.key, b.key) })
	return found, err
}

// Scroll pages through points in the order of their ids.
func (s pointsService) Scroll(_ context.Context, req *qdrant.ScrollPoints) (*qdrant.ScrollResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	if req.Limit != nil && req.GetLimit() == 0 {
		return nil, invalid("limit must be at least 1")
	}
	limit := 10
	if req.Limit != nil {
		limit = int(req.GetLimit())
	}
	if err := c.checkLimit(uint64(limit)); err != nil {
		return nil, err
	}
	found, err := c.read(req.GetFilter())
	if err != nil {
		return nil, err
	}
	if req.GetOffset() != nil {
		from, err := keyOf(req.GetOffset())
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(p *point) bool { return p.key < from })
	}
	out := &qdrant.ScrollResponse{}
	if len(found) > limit {
		out.NextPageOffset = found[limit].id
		found = found[:limit]
	}
	for _, p := range found {
		out.Result = append(out.Result, p.retrieved(req.GetWithPayload(), req.GetWithVectors()))
	}
	return out, nil
}

// Facet counts the values of an indexed key.
func (s pointsService) Facet(_ context.Context, req *qdrant.FacetCounts) (*qdrant.FacetResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	path, err := parsePath(req.GetKey())
	if err != nil {
		return nil, err
	}
	found, err := c.read(req.GetFilter())
	if err != nil {
		return nil, err
	}
	if !c.indexed(req.GetKey(), qdrant.PayloadSchemaType_Keyword, qdrant.PayloadSchemaType_Integer, qdrant.PayloadSchemaType_Bool) {
		return nil, invalid("No appropriate index for faceting: `%s`", req.GetKey())
	}
	hits := make(map[any]*qdrant.FacetHit)
	for _, p := range found {
		for _, v := range path.values(p.payload) {
			value, key := facetValue(v)
			if value == nil {
				continue
			}
			if hits[key] == nil {
				hits[key] = &qdrant.FacetHit{Value: value}
			}
			hits[key].Count++
		}
	}
	all := slices.SortedFunc(maps.Values(hits), func(a, b *qdrant.FacetHit) int {
		return cmp.Or(cmp.Compare(b.GetCount(), a.GetCount()), cmp.Compare(a.GetValue().String(), b.GetValue().String()))
	})
	limit := 10
	if req.Limit != nil {
		limit = int(req.GetLimit())
	}
	return &qdrant.FacetResponse{Hits: all[:min(limit, len(all))]}, nil
}

func facetValue(v *qdrant.Value) (value *qdrant.FacetValue, key any) {
	switch k := v.GetKind().(type) {
	case *qdrant.Value_StringValue:
		return &qdrant.FacetValue{Variant: &qdrant.FacetValue_StringValue{StringValue: k.StringValue}}, k.StringValue
	case *qdrant.Value_IntegerValue:
		return &qdrant.FacetValue{Variant: &qdrant.FacetValue_IntegerValue{IntegerValue: k.IntegerValue}}, k.IntegerValue
	case *qdrant.Value_BoolValue:
		return &qdrant.FacetValue{Variant: &qdrant.FacetValue_BoolValue{BoolValue: k.BoolValue}}, k.BoolValue
	}
	return nil, nil
}
