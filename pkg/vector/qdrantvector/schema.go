package qdrantvector

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/lexical"
)

// layout numbers the form of points. A collection of another one is rebuilt.
const layout = 2

const (
	layoutKey  = "layout"
	profileKey = "profile"
	lexicalKey = "lexical"
)

// What strict mode allows: more than this package asks for, less than what
// would hurt other tenants.
const (
	maxQueryLimit  = 1000
	maxConditions  = 2048
	maxUpsert      = 512
	maxTimeout     = 120
	graphPayloadM  = 16
	graphConstruct = 128
)

// indexes are the payload indexes: one for every key that a filter names.
// Only the tenant has graphs of its own, for every search names one.
func indexes() map[string]*qdrant.CreateFieldIndexCollection {
	keyword := func(tenant bool) *qdrant.CreateFieldIndexCollection {
		params := &qdrant.KeywordIndexParams{EnableHnsw: new(tenant)}
		if tenant {
			params.IsTenant = new(true)
		}
		return &qdrant.CreateFieldIndexCollection{
			FieldType: qdrant.FieldType_FieldTypeKeyword.Enum(), FieldIndexParams: qdrant.NewPayloadIndexParamsKeyword(params),
		}
	}
	integer := func(lookup, ranges bool) *qdrant.CreateFieldIndexCollection {
		return &qdrant.CreateFieldIndexCollection{
			FieldType: qdrant.FieldType_FieldTypeInteger.Enum(),
			FieldIndexParams: qdrant.NewPayloadIndexParamsInt(&qdrant.IntegerIndexParams{
				Lookup: new(lookup), Range: new(ranges), EnableHnsw: new(false),
			}),
		}
	}
	return map[string]*qdrant.CreateFieldIndexCollection{
		tenantKey: keyword(true), collectionKey: keyword(false), documentKey: keyword(false), versionKey: keyword(false),
		aclKey: keyword(false), metaKey: keyword(false), numbersKey + "[]." + nameKey: keyword(false),
		numbersKey + "[]." + valueKey: {
			FieldType: qdrant.FieldType_FieldTypeFloat.Enum(), FieldIndexParams: qdrant.NewPayloadIndexParamsFloat(&qdrant.FloatIndexParams{EnableHnsw: new(false)}),
		},
		liveKey: {
			FieldType: qdrant.FieldType_FieldTypeBool.Enum(), FieldIndexParams: qdrant.NewPayloadIndexParamsBool(&qdrant.BoolIndexParams{EnableHnsw: new(false)}),
		},
		generationKey: integer(false, true), leanKey: integer(true, false), revisionKey: integer(true, false),
	}
}

// create makes a collection with its indexes and its marker. All of it may
// exist already, from another replica or from one that died here.
func (s *Store) create(ctx context.Context, collection string) error {
	_, err := s.client.collections().Create(ctx, &qdrant.CreateCollection{
		CollectionName: collection,
		VectorsConfig: qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{
			denseVector: {Size: uint64(s.cfg.Dimensions), Distance: qdrant.Distance_Cosine},
		}),
		SparseVectorsConfig: qdrant.NewSparseVectorsConfig(map[string]*qdrant.SparseVectorParams{sparseVector: {Modifier: qdrant.Modifier_Idf.Enum()}}),
		// Every search names its tenant, so that graphs within tenants are all that is needed.
		HnswConfig:             &qdrant.HnswConfigDiff{M: new(uint64(0)), PayloadM: new(uint64(graphPayloadM)), EfConstruct: new(uint64(graphConstruct))},
		ShardNumber:            optional(s.cfg.Shards),
		ReplicationFactor:      optional(s.cfg.Replicas),
		WriteConsistencyFactor: optional(s.cfg.Replicas),
		StrictModeConfig: &qdrant.StrictModeConfig{
			Enabled: new(true), MaxQueryLimit: new(uint32(maxQueryLimit)), MaxTimeout: new(uint32(maxTimeout)),
			UnindexedFilteringRetrieve: new(false), UnindexedFilteringUpdate: new(false),
			UpsertMaxBatchsize: new(uint64(maxUpsert)), FilterMaxConditions: new(uint64(maxConditions)),
		},
	})
	if err != nil && codeOf(err) != codes.AlreadyExists {
		return fmt.Errorf("create collection %s: %w", collection, err)
	}
	all := indexes()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		index := all[key]
		index.CollectionName, index.FieldName, index.Wait = collection, key, new(true)
		if _, err := s.client.points().CreateFieldIndex(ctx, index); err != nil {
			return fmt.Errorf("index %q of collection %s: %w", key, collection, err)
		}
	}
	_, err = s.client.points().Upsert(ctx, &qdrant.UpsertPoints{
		CollectionName: collection, Wait: new(true), Points: []*qdrant.PointStruct{{
			Id: markerID(), Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{}),
			Payload: map[string]*qdrant.Value{
				profileKey: qdrant.NewValueString(text(s.cfg.ProfileKey)), layoutKey: qdrant.NewValueInt(layout), lexicalKey: qdrant.NewValueInt(lexical.Version),
			},
		}},
	})
	if err != nil {
		return fmt.Errorf("mark collection %s: %w", collection, err)
	}
	return nil
}

func optional(n uint32) *uint32 {
	if n == 0 {
		return nil
	}
	return &n
}

// verify returns a Permanent fault unless the collection is one that this
// store would make: of its dimensions, distance, model and analysis of text.
// Indexes that are missing are made.
func (s *Store) verify(ctx context.Context, collection string) error {
	answer, err := s.client.collections().Get(ctx, &qdrant.GetCollectionInfoRequest{CollectionName: collection})
	if err != nil {
		return fmt.Errorf("describe collection %s: %w", collection, err)
	}
	params := answer.GetResult().GetConfig().GetParams()
	dense := params.GetVectorsConfig().GetParamsMap().GetMap()[denseVector]
	sparse := params.GetSparseVectorsConfig().GetMap()[sparseVector]
	switch {
	case dense == nil || sparse == nil:
		return mismatch("the collection %s in Qdrant was not made by Ragbus", collection)
	case dense.GetSize() != uint64(s.cfg.Dimensions):
		return mismatch("the collection %s in Qdrant has %d dimensions; the embedder has %d", collection, dense.GetSize(), s.cfg.Dimensions)
	case dense.GetDistance() != qdrant.Distance_Cosine:
		return mismatch("the collection %s in Qdrant has the distance %s, not Cosine", collection, dense.GetDistance())
	case sparse.GetModifier() != qdrant.Modifier_Idf:
		return mismatch("the collection %s in Qdrant lacks the IDF modifier", collection)
	}
	if err := s.verifyMarker(ctx, collection); err != nil {
		return err
	}
	for key, index := range indexes() {
		if answer.GetResult().GetPayloadSchema()[key] != nil {
			continue
		}
		index.CollectionName, index.FieldName, index.Wait = collection, key, new(true)
		if _, err := s.client.points().CreateFieldIndex(ctx, index); err != nil {
			return fmt.Errorf("index %q of collection %s: %w", key, collection, err)
		}
	}
	return nil
}

func (s *Store) verifyMarker(ctx context.Context, collection string) error {
	found, err := s.client.points().Get(ctx, &qdrant.GetPoints{
		CollectionName: collection, Ids: []*qdrant.PointId{markerID()}, WithPayload: qdrant.NewWithPayload(true),
	})
	if err != nil {
		return fmt.Errorf("read the marker of collection %s: %w", collection, err)
	}
	if len(found.GetResult()) == 0 {
		return mismatch("the collection %s in Qdrant was not made by Ragbus, or not to its end", collection)
	}
	marker := found.GetResult()[0].GetPayload()
	if got := marker[profileKey].GetStringValue(); got != text(s.cfg.ProfileKey) {
		return mismatch("the collection %s in Qdrant holds vectors of %q; the embedder is %q", collection, got, s.cfg.ProfileKey)
	}
	if marker[layoutKey].GetIntegerValue() != layout || marker[lexicalKey].GetIntegerValue() != lexical.Version {
		return fault.Permanentf("index_outdated", "the collection %s in Qdrant was written by another release of Ragbus; run: ragbus reindex", collection)
	}
	return nil
}

func mismatch(format string, args ...any) error {
	return fault.Permanentf("index_profile_mismatch", "%s; run: ragbus reindex, or point RAGBUS_VECTOR_URL elsewhere", fmt.Sprintf(format, args...))
}
