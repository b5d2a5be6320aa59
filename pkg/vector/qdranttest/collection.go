package qdranttest

import (
	"maps"
	"math"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/qdrant/go-client/qdrant"
)

// The vacuum of a real server: deleted points leave the statistics once they
// are more than a fifth of a segment of more than a thousand.
const (
	vacuumShare = 5
	vacuumLeast = 1000
)

// collection holds points. Points are immutable: a change puts another one in
// their place, so that readers keep what they have found.
type collection struct {
	config    *qdrant.CreateCollection
	limits    *qdrant.StrictModeConfig
	scopedIDF bool

	mu     sync.RWMutex
	schema map[string]*qdrant.PayloadSchemaInfo
	points map[string]*point
	// values finds points by the words of their indexed keyword fields.
	values map[string]map[string]map[string]*point
	// ghosts are deleted points that global statistics still count.
	ghosts []*point
}

type point struct {
	id      *qdrant.PointId
	key     string
	payload map[string]*qdrant.Value
	// dense vectors as given, with their lengths.
	dense  map[string]denseVector
	sparse map[string]map[uint32]float32
}

type denseVector struct {
	values []float32
	norm   float64
}

func newCollection(config *qdrant.CreateCollection, scopedIDF bool) *collection {
	limits := config.GetStrictModeConfig()
	if limits == nil {
		limits = new(qdrant.StrictModeConfig)
	}
	return &collection{
		config: config, limits: limits, scopedIDF: scopedIDF,
		schema: make(map[string]*qdrant.PayloadSchemaInfo),
		points: make(map[string]*point),
		values: make(map[string]map[string]map[string]*point),
	}
}

// keyOf returns the id in one spelling.
func keyOf(id *qdrant.PointId) (string, error) {
	switch v := id.GetPointIdOptions().(type) {
	case *qdrant.PointId_Num:
		return strconv.FormatUint(v.Num, 10), nil
	case *qdrant.PointId_Uuid:
		parsed, err := uuid.Parse(v.Uuid)
		if err != nil {
			return "", invalid("Unable to parse UUID: %s", v.Uuid)
		}
		return parsed.String(), nil
	}
	return "", invalid("Empty ID is not allowed")
}

// put stores a point in the place of the one with its id. The caller holds the lock.
func (c *collection) put(p *point) {
	if old := c.points[p.key]; old != nil {
		c.unlist(old)
	}
	c.points[p.key] = p
	for field, byWord := range c.values {
		for _, word := range wordsAt(p.payload, field) {
			if byWord[word] == nil {
				byWord[word] = make(map[string]*point)
			}
			byWord[word][p.key] = p
		}
	}
}

func (c *collection) unlist(p *point) {
	for field, byWord := range c.values {
		for _, word := range wordsAt(p.payload, field) {
			delete(byWord[word], p.key)
			if len(byWord[word]) == 0 {
				delete(byWord, word)
			}
		}
	}
}

// remove deletes a point. The caller holds the lock.
func (c *collection) remove(key string) {
	p := c.points[key]
	if p == nil {
		return
	}
	c.unlist(p)
	delete(c.points, key)
	if len(p.sparse) > 0 {
		c.ghosts = append(c.ghosts, p)
	}
	if len(c.ghosts) > vacuumLeast && len(c.ghosts)*vacuumShare > len(c.points)+len(c.ghosts) {
		c.ghosts = nil
	}
}

// index begins to find points by a field. The caller holds the lock.
func (c *collection) index(field string, info *qdrant.PayloadSchemaInfo) {
	c.schema[field] = info
	if info.GetDataType() != qdrant.PayloadSchemaType_Keyword || c.values[field] != nil {
		return
	}
	byWord := make(map[string]map[string]*point)
	c.values[field] = byWord
	for key, p := range c.points {
		for _, word := range wordsAt(p.payload, field) {
			if byWord[word] == nil {
				byWord[word] = make(map[string]*point)
			}
			byWord[word][key] = p
		}
	}
}

func wordsAt(payload map[string]*qdrant.Value, field string) []string {
	path, err := parsePath(field)
	if err != nil {
		return nil
	}
	var words []string
	for _, v := range path.values(payload) {
		if s, ok := v.GetKind().(*qdrant.Value_StringValue); ok {
			words = append(words, s.StringValue)
		}
	}
	return words
}

// matching returns the points that the filter lets through, in no order. The caller holds the lock.
func (c *collection) matching(f *qdrant.Filter) ([]*point, error) {
	test, err := compile(f)
	if err != nil {
		return nil, err
	}
	var out []*point
	for _, p := range c.candidates(f) {
		if test(p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// candidates returns a superset of what the filter lets through: the fewest
// that one of its conditions leaves.
func (c *collection) candidates(f *qdrant.Filter) map[string]*point {
	best := c.points
	for _, condition := range f.GetMust() {
		if set, ok := c.listed(condition); ok && len(set) < len(best) {
			best = set
		}
	}
	return best
}

func (c *collection) listed(condition *qdrant.Condition) (map[string]*point, bool) {
	if ids := condition.GetHasId(); ids != nil {
		set := make(map[string]*point, len(ids.GetHasId()))
		for _, id := range ids.GetHasId() {
			if key, err := keyOf(id); err == nil && c.points[key] != nil {
				set[key] = c.points[key]
			}
		}
		return set, true
	}
	field := condition.GetField()
	byWord := c.values[field.GetKey()]
	if byWord == nil {
		return nil, false
	}
	switch m := field.GetMatch().GetMatchValue().(type) {
	case *qdrant.Match_Keyword:
		return byWord[m.Keyword], true
	case *qdrant.Match_Keywords:
		set := make(map[string]*point)
		for _, word := range m.Keywords.GetStrings() {
			maps.Copy(set, byWord[word])
		}
		return set, true
	}
	return nil, false
}

// newPoint checks and reads a point.
func (c *collection) newPoint(in *qdrant.PointStruct) (*point, error) {
	if in.GetVectors() == nil {
		return nil, invalid("Expected some vectors")
	}
	key, err := keyOf(in.GetId())
	if err != nil {
		return nil, err
	}
	p := &point{id: in.GetId(), key: key, payload: in.GetPayload(), dense: make(map[string]denseVector), sparse: make(map[string]map[uint32]float32)}
	vectors := in.GetVectors().GetVectors().GetVectors()
	if unnamed := in.GetVectors().GetVector(); unnamed != nil {
		vectors = map[string]*qdrant.Vector{"": unnamed}
	}
	for name, v := range vectors {
		if err := c.addVector(p, name, v); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (c *collection) addVector(p *point, name string, v *qdrant.Vector) error {
	if sparse := v.GetSparse(); sparse != nil {
		if c.config.GetSparseVectorsConfig().GetMap()[name] == nil {
			return invalid("Not existing vector name error: %s", name)
		}
		values, err := readSparse(sparse.GetIndices(), sparse.GetValues())
		if err != nil {
			return err
		}
		p.sparse[name] = values
		return nil
	}
	params := c.config.GetVectorsConfig().GetParamsMap().GetMap()[name]
	if params == nil {
		return invalid("Not existing vector name error: %s", name)
	}
	data := v.GetDense().GetData()
	if data == nil {
		data = v.GetData() //nolint:staticcheck // older clients send it
	}
	if uint64(len(data)) != params.GetSize() {
		return invalid("Vector dimension error: expected dim: %d, got %d", params.GetSize(), len(data))
	}
	p.dense[name] = denseVector{values: data, norm: norm(data)}
	return nil
}

func readSparse(indices []uint32, values []float32) (map[uint32]float32, error) {
	if len(indices) != len(values) {
		return nil, invalid("Validation error in sparse vector: values: must be the same length as indices")
	}
	out := make(map[uint32]float32, len(indices))
	for i, index := range indices {
		out[index] = values[i]
	}
	if len(out) != len(indices) {
		return nil, invalid("Validation error in sparse vector: indices: must be unique")
	}
	return out, nil
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}
