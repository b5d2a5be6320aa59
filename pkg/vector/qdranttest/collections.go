package qdranttest

import (
	"context"
	"maps"
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// collectionsService implements the service "Collections".
type collectionsService struct {
	qdrant.UnimplementedCollectionsServer
	server *Server
}

// Create makes an empty collection.
func (s collectionsService) Create(_ context.Context, req *qdrant.CreateCollection) (*qdrant.CollectionOperationResponse, error) {
	name := req.GetCollectionName()
	if name == "" || len(name) > 255 {
		return nil, invalid("collection name has 1 to 255 characters")
	}
	for vector, params := range req.GetVectorsConfig().GetParamsMap().GetMap() {
		if params.GetSize() < 1 || params.GetSize() > 65536 {
			return nil, invalid("vector %s: size must be in 1 to 65536", vector)
		}
		if d := params.GetDistance(); d != qdrant.Distance_Cosine && d != qdrant.Distance_Dot {
			return nil, status.Errorf(codes.Unimplemented, "the stand-in knows the distances Cosine and Dot, not %s", d)
		}
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if _, ok := s.server.collections[name]; ok {
		return nil, status.Errorf(codes.AlreadyExists, "Wrong input: Collection `%s` already exists!", name)
	}
	if _, ok := s.server.aliases[name]; ok {
		return nil, invalid("Can't create collection with name %s. Alias with the same name already exists", name)
	}
	s.server.collections[name] = newCollection(req, s.server.scopedIDF)
	return done(), nil
}

func done() *qdrant.CollectionOperationResponse {
	return &qdrant.CollectionOperationResponse{Result: true}
}

// Delete removes a collection and its aliases.
func (s collectionsService) Delete(_ context.Context, req *qdrant.DeleteCollection) (*qdrant.CollectionOperationResponse, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	name := req.GetCollectionName()
	_, ok := s.server.collections[name]
	delete(s.server.collections, name)
	maps.DeleteFunc(s.server.aliases, func(_, target string) bool { return target == name })
	return &qdrant.CollectionOperationResponse{Result: ok}, nil
}

// List names the collections.
func (s collectionsService) List(context.Context, *qdrant.ListCollectionsRequest) (*qdrant.ListCollectionsResponse, error) {
	s.server.mu.RLock()
	defer s.server.mu.RUnlock()
	out := &qdrant.ListCollectionsResponse{}
	for name := range s.server.collections {
		out.Collections = append(out.Collections, &qdrant.CollectionDescription{Name: name})
	}
	return out, nil
}

// CollectionExists tells whether a collection or an alias has the name.
func (s collectionsService) CollectionExists(_ context.Context, req *qdrant.CollectionExistsRequest) (*qdrant.CollectionExistsResponse, error) {
	_, err := s.server.find(req.GetCollectionName())
	return &qdrant.CollectionExistsResponse{Result: &qdrant.CollectionExists{Exists: err == nil}}, nil
}

// Get describes a collection.
func (s collectionsService) Get(_ context.Context, req *qdrant.GetCollectionInfoRequest) (*qdrant.GetCollectionInfoResponse, error) {
	c, err := s.server.find(req.GetCollectionName())
	if err != nil {
		return nil, err
	}
	return &qdrant.GetCollectionInfoResponse{Result: c.info()}, nil
}

func (c *collection) info() *qdrant.CollectionInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := uint64(len(c.points))
	schema := make(map[string]*qdrant.PayloadSchemaInfo, len(c.schema))
	for field, info := range c.schema {
		copied, _ := proto.Clone(info).(*qdrant.PayloadSchemaInfo)
		copied.Points = &n
		schema[field] = copied
	}
	return &qdrant.CollectionInfo{
		Status: qdrant.CollectionStatus_Green, OptimizerStatus: &qdrant.OptimizerStatus{Ok: true}, SegmentsCount: 1,
		PointsCount: &n, IndexedVectorsCount: &n, PayloadSchema: schema,
		Config: &qdrant.CollectionConfig{
			Params: &qdrant.CollectionParams{
				ShardNumber: max(1, c.config.GetShardNumber()), VectorsConfig: c.config.GetVectorsConfig(), SparseVectorsConfig: c.config.GetSparseVectorsConfig(),
				ReplicationFactor: c.config.ReplicationFactor, WriteConsistencyFactor: c.config.WriteConsistencyFactor, OnDiskPayload: c.config.GetOnDiskPayload(),
			},
			HnswConfig: c.config.GetHnswConfig(), OptimizerConfig: c.config.GetOptimizersConfig(), StrictModeConfig: c.config.GetStrictModeConfig(),
			Metadata: c.config.GetMetadata(),
		},
	}
}

// UpdateAliases applies all actions in one step, or none.
func (s collectionsService) UpdateAliases(_ context.Context, req *qdrant.ChangeAliases) (*qdrant.CollectionOperationResponse, error) {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	next := maps.Clone(s.server.aliases)
	for _, action := range req.GetActions() {
		switch {
		case action.GetCreateAlias() != nil:
			alias, target := action.GetCreateAlias().GetAliasName(), action.GetCreateAlias().GetCollectionName()
			if _, ok := s.server.collections[alias]; ok {
				return nil, status.Errorf(codes.AlreadyExists, "Wrong input: Collection `%s` already exists!", alias)
			}
			if _, ok := s.server.collections[target]; !ok {
				return nil, status.Errorf(codes.NotFound, "Not found: Collection `%s` doesn't exist!", target)
			}
			next[alias] = target
		case action.GetDeleteAlias() != nil:
			delete(next, action.GetDeleteAlias().GetAliasName())
		case action.GetRenameAlias() != nil:
			from, to := action.GetRenameAlias().GetOldAliasName(), action.GetRenameAlias().GetNewAliasName()
			target, ok := next[from]
			if !ok {
				return nil, status.Errorf(codes.NotFound, "Not found: Alias `%s` doesn't exist!", from)
			}
			delete(next, from)
			next[to] = target
		}
	}
	s.server.aliases = next
	return done(), nil
}

// ListAliases lists all aliases.
func (s collectionsService) ListAliases(context.Context, *qdrant.ListAliasesRequest) (*qdrant.ListAliasesResponse, error) {
	return s.list(func(string) bool { return true }), nil
}

// ListCollectionAliases lists the aliases of one collection.
func (s collectionsService) ListCollectionAliases(_ context.Context, req *qdrant.ListCollectionAliasesRequest) (*qdrant.ListAliasesResponse, error) {
	return s.list(func(target string) bool { return target == req.GetCollectionName() }), nil
}

func (s collectionsService) list(wanted func(target string) bool) *qdrant.ListAliasesResponse {
	s.server.mu.RLock()
	defer s.server.mu.RUnlock()
	out := &qdrant.ListAliasesResponse{}
	for _, alias := range slices.Sorted(maps.Keys(s.server.aliases)) {
		if target := s.server.aliases[alias]; wanted(target) {
			out.Aliases = append(out.Aliases, &qdrant.AliasDescription{AliasName: alias, CollectionName: target})
		}
	}
	return out
}
