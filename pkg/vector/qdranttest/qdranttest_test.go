package qdranttest_test

import (
	"math"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ragbus/ragbus/pkg/vector/qdranttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func idf(n, df float64) float64 { return math.Log((n-df+0.5)/(df+0.5) + 1) }

func over(filter *qdrant.Filter) *qdrant.SearchParams {
	encoded, err := proto.Marshal(filter)
	if err != nil {
		panic(err)
	}
	corpus := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), encoded)
	p := &qdrant.SearchParams{}
	p.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 6, protowire.BytesType), corpus))
	return p
}

func tenant(name string) *qdrant.Filter {
	return &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("tenant", name)}}
}

func close4(a, b map[uint64]float64) string {
	return cmp.Diff(a, b, cmp.Comparer(func(x, y float64) bool { return math.Abs(x-y) < 1e-5 }))
}

// idfPoints are those of the server's own test of IDF scopes.
func idfPoints() []*qdrant.PointStruct {
	return []*qdrant.PointStruct{
		{Id: qdrant.NewIDNum(0), Payload: payload("tenant", "a"), Vectors: sparse(0, 1)},
		{Id: qdrant.NewIDNum(1), Payload: payload("tenant", "a"), Vectors: sparse(0)},
		{Id: qdrant.NewIDNum(2), Payload: payload("tenant", "b"), Vectors: sparse(0, 1, 2)},
		{Id: qdrant.NewIDNum(3), Payload: payload("tenant", "b"), Vectors: sparse(1)},
		{Id: qdrant.NewIDNum(4), Payload: payload("tenant", "a"), Vectors: dense(1, 0, 0, 0)},
	}
}

func TestIDFIsOverTheCollectionUnlessACorpusIsNamed(t *testing.T) {
	t.Parallel()
	terms := []uint32{0, 1, 2}
	whole := map[uint64]float64{0: 2 * idf(4, 3), 1: idf(4, 3), 2: 2*idf(4, 3) + idf(4, 1), 3: idf(4, 3)}
	f := start(t, qdranttest.Options{})
	f.upsert(t, idfPoints()...)
	for what, c := range map[string]struct {
		params *qdrant.SearchParams
		filter *qdrant.Filter
		want   map[uint64]float64
	}{
		"whole":             {want: whole},
		"filtered":          {filter: tenant("b"), want: map[uint64]float64{2: whole[2], 3: whole[3]}},
		"a corpus":          {params: over(tenant("a")), want: map[uint64]float64{0: idf(2, 2) + idf(2, 1), 1: idf(2, 2), 2: idf(2, 2) + idf(2, 1) + idf(2, 0), 3: idf(2, 1)}},
		"an empty corpus":   {params: over(tenant("nobody")), filter: tenant("a"), want: map[uint64]float64{0: 2 * idf(0, 0), 1: idf(0, 0)}},
		"corpus and filter": {params: over(tenant("a")), filter: tenant("a"), want: map[uint64]float64{0: idf(2, 2) + idf(2, 1), 1: idf(2, 2)}},
	} {
		if diff := close4(c.want, f.scores(t, terms, c.params, c.filter)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	if _, err := f.query(t, &qdrant.QueryPoints{Query: qdrant.NewQueryDense([]float32{1, 0, 0, 0}), Using: new("dense"), Params: over(tenant("a"))}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a corpus on a dense query: %v", err)
	}
	old := start(t, qdranttest.Options{Version: "1.18.3"})
	old.upsert(t, idfPoints()...)
	if diff := close4(whole, old.scores(t, terms, over(tenant("a")), nil)); diff != "" {
		t.Errorf("before 1.19 (-want +got):\n%s", diff)
	}
}

func TestDeletedPointsAreStillCounted(t *testing.T) {
	t.Parallel()
	f := start(t, qdranttest.Options{})
	f.upsert(t, idfPoints()...)
	if _, err := f.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: collection, Points: qdrant.NewPointsSelectorFilter(tenant("b"))}); err != nil {
		t.Fatal(err)
	}
	if diff := close4(map[uint64]float64{0: idf(4, 3), 1: idf(4, 3)}, f.scores(t, []uint32{0}, nil, nil)); diff != "" {
		t.Errorf("whole collection (-want +got):\n%s", diff)
	}
	if diff := close4(map[uint64]float64{0: idf(2, 2), 1: idf(2, 2)}, f.scores(t, []uint32{0}, over(tenant("a")), nil)); diff != "" {
		t.Errorf("a corpus (-want +got):\n%s", diff)
	}
}

func TestBadRequestsAreRefusedAsTheServerDoes(t *testing.T) {
	t.Parallel()
	f := start(t, qdranttest.Options{})
	one := func(v *qdrant.Vectors) error {
		_, err := f.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: collection, Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: v}}})
		return err
	}
	sparseOf := func(indices []uint32, values []float32) *qdrant.Vectors {
		return qdrant.NewVectorsMap(map[string]*qdrant.Vector{"sparse": qdrant.NewVectorSparse(indices, values)})
	}
	_, badID := f.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: collection, Points: []*qdrant.PointStruct{{Id: qdrant.NewID("x"), Vectors: dense(1, 0, 0, 0)}}})
	_, empty := f.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: collection})
	_, limit := f.query(t, &qdrant.QueryPoints{Query: qdrant.NewQueryDense([]float32{1, 0, 0, 0}), Using: new("dense"), Limit: new(uint64(0))})
	_, missing := f.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: "absent", Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: dense(1, 0, 0, 0)}}})
	_, unknown := f.SetPayload(t.Context(), &qdrant.SetPayloadPoints{CollectionName: collection, Payload: payload("a", 1), PointsSelector: qdrant.NewPointsSelector(qdrant.NewIDNum(9))})
	_, vectors := f.UpdateVectors(t.Context(), &qdrant.UpdatePointVectors{CollectionName: collection, Points: []*qdrant.PointVectors{{Id: qdrant.NewIDNum(9), Vectors: dense(1, 0, 0, 0)}}})
	for what, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"short vector":           {one(dense(1, 0)), codes.InvalidArgument},
		"no vectors":             {one(nil), codes.InvalidArgument},
		"unknown vector":         {one(qdrant.NewVectorsMap(map[string]*qdrant.Vector{"x": qdrant.NewVectorDense([]float32{1})})), codes.InvalidArgument},
		"duplicate terms":        {one(sparseOf([]uint32{1, 1}, []float32{1, 2})), codes.InvalidArgument},
		"lengths":                {one(sparseOf([]uint32{1, 2}, []float32{1})), codes.InvalidArgument},
		"bad id":                 {badID, codes.InvalidArgument},
		"empty upsert":           {empty, codes.InvalidArgument},
		"limit 0":                {limit, codes.InvalidArgument},
		"no collection":          {missing, codes.NotFound},
		"payload of no point":    {unknown, codes.NotFound},
		"vectors of no point":    {vectors, codes.NotFound},
		"collection twice":       {f.CreateCollection(t.Context(), &qdrant.CreateCollection{CollectionName: collection}), codes.AlreadyExists},
		"alias like collection":  {f.CreateAlias(t.Context(), collection, collection), codes.AlreadyExists},
		"alias of no collection": {f.CreateAlias(t.Context(), "a", "absent"), codes.NotFound},
		"NaN":                    {one(dense(float32(math.NaN()), 0, 0, 0)), codes.OK},
		"no vector at all":       {one(qdrant.NewVectorsMap(map[string]*qdrant.Vector{})), codes.OK},
		"an empty sparse vector": {one(sparseOf(nil, nil)), codes.OK},
	} {
		if status.Code(c.err) != c.want {
			t.Errorf("%s: %v, want %s", what, c.err, c.want)
		}
	}
	_, err := f.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: collection, Points: qdrant.NewPointsSelector(qdrant.NewIDNum(99))})
	if err != nil {
		t.Errorf("delete of an unknown id: %v", err)
	}
}

func TestNaNIsFoundFirst(t *testing.T) {
	t.Parallel()
	f := start(t, qdranttest.Options{})
	f.upsert(t,
		&qdrant.PointStruct{Id: qdrant.NewIDNum(1), Vectors: dense(1, 0, 0, 0)},
		&qdrant.PointStruct{Id: qdrant.NewIDNum(2), Vectors: dense(float32(math.NaN()), 0, 0, 0)},
		&qdrant.PointStruct{Id: qdrant.NewIDNum(3), Vectors: dense(0, 0, 0, 0)},
		&qdrant.PointStruct{Id: qdrant.NewIDNum(4), Vectors: sparse(1)},
	)
	hits, err := f.query(t, &qdrant.QueryPoints{Query: qdrant.NewQueryDense([]float32{1, 0, 0, 0}), Using: new("dense")})
	if err != nil || len(hits) != 3 || hits[0].GetId().GetNum() != 2 || !math.IsNaN(float64(hits[0].GetScore())) || hits[1].GetScore() != 1 || hits[2].GetScore() != 0 {
		t.Errorf("%v, %v", hits, err)
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	f := start(t, qdranttest.Options{})
	for i, p := range []map[string]any{
		{"word": "a", "n": 1, "b": true, "list": []any{"x", "y"}, "o": map[string]any{"k": "v"}},
		{"word": "b", "n": 2.5, "b": false, "list": []any{}, "o": []any{map[string]any{"k": "v", "n": 1}, map[string]any{"k": "w", "n": 2}}},
		{"n": nil, "list": nil, "a.b": "quoted"},
	} {
		f.upsert(t, &qdrant.PointStruct{Id: qdrant.NewIDNum(uint64(i)), Payload: qdrant.NewValueMap(p), Vectors: dense(1, 0, 0, 0)})
	}
	must := func(c ...*qdrant.Condition) *qdrant.Filter { return &qdrant.Filter{Must: c} }
	two, half := 2.0, 1.5
	for what, c := range map[string]struct {
		filter *qdrant.Filter
		want   []uint64
	}{
		"nothing asked":       {nil, []uint64{0, 1, 2}},
		"an empty filter":     {&qdrant.Filter{}, []uint64{0, 1, 2}},
		"a word":              {must(qdrant.NewMatch("word", "a")), []uint64{0}},
		"any of none":         {must(qdrant.NewMatchKeywords("word")), nil},
		"any":                 {must(qdrant.NewMatchKeywords("word", "a", "b", "z")), []uint64{0, 1}},
		"an element":          {must(qdrant.NewMatch("list", "y")), []uint64{0}},
		"empty":               {must(qdrant.NewIsEmpty("list")), []uint64{1, 2}},
		"a missing key":       {must(qdrant.NewIsEmpty("word")), []uint64{2}},
		"null":                {must(qdrant.NewIsNull("n")), []uint64{2}},
		"a range of both":     {must(qdrant.NewRange("n", &qdrant.Range{Lte: &two})), []uint64{0}},
		"above":               {must(qdrant.NewRange("n", &qdrant.Range{Gt: &half})), []uint64{1}},
		"an integer":          {must(qdrant.NewMatchInt("n", 1)), []uint64{0}},
		"a boolean":           {must(qdrant.NewMatchBool("b", false)), []uint64{1}},
		"a nested key":        {must(qdrant.NewMatch("o.k", "v")), []uint64{0}},
		"keys of elements":    {must(qdrant.NewMatch("o[].k", "w")), []uint64{1}},
		"one element's both":  {must(qdrant.NewNestedFilter("o", must(qdrant.NewMatch("k", "v"), qdrant.NewMatchInt("n", 1)))), []uint64{1}},
		"two elements' parts": {must(qdrant.NewNestedFilter("o", must(qdrant.NewMatch("k", "v"), qdrant.NewMatchInt("n", 2)))), nil},
		"a quoted key":        {must(qdrant.NewMatch(`"a.b"`, "quoted")), []uint64{2}},
		"not":                 {&qdrant.Filter{MustNot: []*qdrant.Condition{qdrant.NewMatch("word", "a")}}, []uint64{1, 2}},
		"should":              {&qdrant.Filter{Should: []*qdrant.Condition{qdrant.NewMatch("word", "a"), qdrant.NewMatch("word", "b")}}, []uint64{0, 1}},
		"ids":                 {must(qdrant.NewHasID(qdrant.NewIDNum(2), qdrant.NewIDNum(7))), []uint64{2}},
	} {
		for _, indexed := range []bool{false, true} {
			if indexed {
				f.index(t, "word", qdrant.FieldType_FieldTypeKeyword)
				f.index(t, "list", qdrant.FieldType_FieldTypeKeyword)
			}
			points, err := f.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: collection, Filter: c.filter})
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			var got []uint64
			for _, p := range points {
				got = append(got, p.GetId().GetNum())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, indexed %v (-want +got):\n%s", what, indexed, diff)
			}
		}
	}
	if _, err := f.Count(t.Context(), &qdrant.CountPoints{CollectionName: collection, Filter: must(qdrant.NewMatch("a..b", "x"))}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a bad path: %v", err)
	}
}

func (f fixture) index(t *testing.T, field string, kind qdrant.FieldType) {
	t.Helper()
	if _, err := f.CreateFieldIndex(t.Context(), &qdrant.CreateFieldIndexCollection{CollectionName: collection, FieldName: field, FieldType: kind.Enum()}); err != nil {
		t.Fatal(err)
	}
}

func TestConditionalUpsertsFailInSilence(t *testing.T) {
	t.Parallel()
	f := start(t, qdranttest.Options{})
	put := func(value, when int64) int64 {
		if _, err := f.Upsert(t.Context(), &qdrant.UpsertPoints{
			CollectionName: collection, Points: []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Payload: payload("n", value), Vectors: dense(1, 0, 0, 0)}},
			UpdateFilter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchInt("n", when)}},
		}); err != nil {
			t.Fatal(err)
		}
		points, err := f.Get(t.Context(), &qdrant.GetPoints{CollectionName: collection, Ids: []*qdrant.PointId{qdrant.NewIDNum(1)}, WithPayload: qdrant.NewWithPayload(true)})
		if err != nil || len(points) != 1 {
			t.Fatalf("%v, %v", points, err)
		}
		return points[0].GetPayload()["n"].GetIntegerValue()
	}
	for _, c := range []struct{ value, when, want int64 }{{1, 0, 1}, {2, 0, 1}, {2, 1, 2}, {3, 1, 2}} {
		if got := put(c.value, c.when); got != c.want {
			t.Errorf("set %d when %d: %d", c.value, c.when, got)
		}
	}
}

func TestStrictMode(t *testing.T) {
	t.Parallel()
	f := dial(t, qdranttest.Start(t, qdranttest.Options{}))
	f.create(t, collection, &qdrant.StrictModeConfig{
		Enabled: new(true), MaxQueryLimit: new(uint32(5)), UnindexedFilteringRetrieve: new(false),
		UnindexedFilteringUpdate: new(false), UpsertMaxBatchsize: new(uint64(2)), FilterMaxConditions: new(uint64(2)),
	})
	count := func(conditions ...*qdrant.Condition) error {
		_, err := f.Count(t.Context(), &qdrant.CountPoints{CollectionName: collection, Filter: &qdrant.Filter{Must: conditions}})
		return err
	}
	word := qdrant.NewMatch("word", "a")
	unindexed := count(word)
	nested := count(qdrant.NewNestedCondition("o", qdrant.NewMatch("k", "v")))
	_, deletion := f.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: collection, Points: qdrant.NewPointsSelectorFilter(&qdrant.Filter{Must: []*qdrant.Condition{word}})})
	f.index(t, "word", qdrant.FieldType_FieldTypeInteger)
	wrongKind := count(word)
	f.index(t, "word", qdrant.FieldType_FieldTypeKeyword)
	f.index(t, "o[].k", qdrant.FieldType_FieldTypeKeyword)
	_, limit := f.query(t, &qdrant.QueryPoints{Limit: new(uint64(6))})
	three := []*qdrant.PointStruct{{Id: qdrant.NewIDNum(1), Vectors: dense(1, 0, 0, 0)}, {Id: qdrant.NewIDNum(2), Vectors: dense(1, 0, 0, 0)}, {Id: qdrant.NewIDNum(3), Vectors: dense(1, 0, 0, 0)}}
	_, batch := f.Upsert(t.Context(), &qdrant.UpsertPoints{CollectionName: collection, Points: three})
	for what, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"an unindexed key": {unindexed, codes.InvalidArgument}, "an unindexed nested key": {nested, codes.InvalidArgument}, "a deletion by one": {deletion, codes.InvalidArgument},
		"an index of another kind": {wrongKind, codes.InvalidArgument}, "too many hits": {limit, codes.InvalidArgument}, "too many points": {batch, codes.InvalidArgument},
		"too many conditions": {count(word, word, word), codes.InvalidArgument}, "an indexed key": {count(word), codes.OK},
		"an indexed nested key": {count(qdrant.NewNestedCondition("o", qdrant.NewMatch("k", "v"))), codes.OK},
	} {
		if status.Code(c.err) != c.want {
			t.Errorf("%s: %v, want %s", what, c.err, c.want)
		}
	}
}

func TestAliasesAndFusionAndFacets(t *testing.T) {
	t.Parallel()
	f := start(t, qdranttest.Options{})
	f.upsert(t, idfPoints()...)
	f.create(t, "d", nil)
	if err := f.CreateAlias(t.Context(), "alias", collection); err != nil {
		t.Fatal(err)
	}
	if err := f.UpdateAliases(t.Context(), []*qdrant.AliasOperations{qdrant.NewAliasDelete("alias"), qdrant.NewAliasCreate("alias", "absent")}); status.Code(err) != codes.NotFound {
		t.Errorf("half an exchange: %v", err)
	}
	n, err := f.Count(t.Context(), &qdrant.CountPoints{CollectionName: "alias"})
	if err != nil || n != 5 {
		t.Errorf("after it failed: %d, %v", n, err)
	}
	if err := f.UpdateAliases(t.Context(), []*qdrant.AliasOperations{qdrant.NewAliasDelete("alias"), qdrant.NewAliasCreate("alias", "d")}); err != nil {
		t.Error(err)
	}
	if n, err := f.Count(t.Context(), &qdrant.CountPoints{CollectionName: "alias"}); err != nil || n != 0 {
		t.Errorf("after it succeeded: %d, %v", n, err)
	}
	one := func(terms ...uint32) *qdrant.PrefetchQuery {
		return &qdrant.PrefetchQuery{Query: qdrant.NewQuerySparse(terms, []float32{1}), Using: new("sparse"), Limit: new(uint64(1))}
	}
	hits, err := f.query(t, &qdrant.QueryPoints{Prefetch: []*qdrant.PrefetchQuery{one(2), one(2)}, Query: qdrant.NewQueryFusion(qdrant.Fusion_RRF)})
	if err != nil || len(hits) != 1 || hits[0].GetScore() != 1 {
		t.Errorf("1/2 + 1/2 is 1, not %v, %v", hits, err)
	}
	if _, err := f.Facet(t.Context(), &qdrant.FacetCounts{CollectionName: collection, Key: "tenant"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a facet without an index: %v", err)
	}
	f.index(t, "tenant", qdrant.FieldType_FieldTypeKeyword)
	facets, err := f.Facet(t.Context(), &qdrant.FacetCounts{CollectionName: collection, Key: "tenant"})
	if err != nil || len(facets) != 2 || facets[0].GetValue().GetStringValue() != "a" || facets[0].GetCount() != 3 {
		t.Errorf("%v, %v", facets, err)
	}
}

func TestAJournalBringsEverythingBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	var before []*qdrant.RetrievedPoint
	for round := range 3 {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s, err := qdranttest.New(qdranttest.Options{Journal: path})
		if err != nil {
			t.Fatal(err)
		}
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := s.Serve(l); err != nil {
				t.Error(err)
			}
		})
		f := dial(t, l.Addr().String())
		if round == 0 {
			f.create(t, collection, nil)
			f.upsert(t, idfPoints()...)
			if _, err := f.SetPayload(t.Context(), &qdrant.SetPayloadPoints{CollectionName: collection, Payload: payload("x", 1), PointsSelector: qdrant.NewPointsSelectorFilter(tenant("a"))}); err != nil {
				t.Error(err)
			}
			if _, err := f.Delete(t.Context(), &qdrant.DeletePoints{CollectionName: collection, Points: qdrant.NewPointsSelector(qdrant.NewIDNum(3))}); err != nil {
				t.Error(err)
			}
			if err := f.CreateAlias(t.Context(), "alias", collection); err != nil {
				t.Error(err)
			}
		}
		after, err := f.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: "alias", WithPayload: qdrant.NewWithPayload(true)})
		if err != nil || len(after) != 4 {
			t.Errorf("round %d: %d points, %v", round, len(after), err)
		}
		for i := range before {
			if !proto.Equal(before[i], after[i]) {
				t.Errorf("round %d: %v, was %v", round, after[i], before[i])
			}
		}
		before = after
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	}
}
