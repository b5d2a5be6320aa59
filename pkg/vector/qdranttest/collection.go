package qdranttest

import (
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

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
// their place. Each has a slot, by which everything that finds points knows it.
type collection struct {
	config    *qdrant.CreateCollection
	limits    *qdrant.StrictModeConfig
	scopedIDF bool

	mu     sync.RWMutex
	schema map[string]*qdrant.PayloadSchemaInfo
	points map[string]*point
	slots  []*point
	free   []uint32
	used   set
	// words finds points by what their indexed keyword and bool fields hold.
	words  map[string]map[word]*set
	dense  map[string]*rows
	sparse map[string]*inverted
	// ghosts are deleted points that global statistics still count.
	ghosts []*point
}

type point struct {
	id      *qdrant.PointId
	key     string
	slot    uint32
	payload map[string]*qdrant.Value
	// encodedID is the id and encoded each key of the payload as an answer has it.
	encodedID []byte
	encoded   map[string][]byte
	last      atomic.Pointer[inclusion]
	// dense vectors are given; the collection has them by slot.
	dense  map[string][]float32
	sparse map[string]sparseVector
}

// word is a string or a bool of a payload.
type word any

func newCollection(config *qdrant.CreateCollection, scopedIDF bool) *collection {
	limits := config.GetStrictModeConfig()
	if limits == nil {
		limits = new(qdrant.StrictModeConfig)
	}
	c := &collection{
		config: config, limits: limits, scopedIDF: scopedIDF,
		schema: make(map[string]*qdrant.PayloadSchemaInfo),
		points: make(map[string]*point),
		words:  make(map[string]map[word]*set),
		dense:  make(map[string]*rows),
		sparse: make(map[string]*inverted),
	}
	for name, params := range config.GetVectorsConfig().GetParamsMap().GetMap() {
		c.dense[name] = &rows{width: int(params.GetSize())}
	}
	for name := range config.GetSparseVectorsConfig().GetMap() {
		c.sparse[name] = &inverted{lists: make(map[uint32][]posting)}
	}
	return c
}

// uuidLength is that of the usual spelling.
const uuidLength = 36

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
		if len(v.Uuid) == uuidLength && !strings.ContainsAny(v.Uuid, "ABCDEF") {
			return v.Uuid, nil
		}
		return parsed.String(), nil
	}
	return "", invalid("Empty ID is not allowed")
}

// put stores a point in the place of the one with its id. The caller holds the lock.
func (c *collection) put(p *point) error {
	if err := p.encode(); err != nil {
		return err
	}
	if old := c.points[p.key]; old != nil {
		c.unlist(old)
		p.slot = old.slot
	} else if n := len(c.free); n > 0 {
		p.slot, c.free = c.free[n-1], c.free[:n-1]
	} else {
		p.slot = uint32(len(c.slots))
		c.slots = append(c.slots, nil)
	}
	c.points[p.key], c.slots[p.slot] = p, p
	c.used.add(p.slot)
	for field := range c.words {
		c.list(field, p)
	}
	for name, v := range p.dense {
		c.dense[name].put(p.slot, v)
	}
	for name, v := range p.sparse {
		c.sparse[name].put(p.slot, v)
	}
	return nil
}

// change puts another payload in the place of the point's. The caller holds the lock.
func (c *collection) change(old *point, payload map[string]*qdrant.Value) error {
	p := old.clone()
	if p.payload == nil {
		p.payload = make(map[string]*qdrant.Value)
	}
	maps.Copy(p.payload, payload)
	if err := p.encode(); err != nil {
		return err
	}
	for field := range c.words {
		c.strike(field, old)
		c.list(field, p)
	}
	c.points[p.key], c.slots[p.slot] = p, p
	return nil
}

// clone returns a copy that may be changed, without what was encoded.
func (p *point) clone() *point {
	return &point{id: p.id, key: p.key, slot: p.slot, payload: maps.Clone(p.payload), dense: maps.Clone(p.dense), sparse: maps.Clone(p.sparse)}
}

func (c *collection) list(field string, p *point) {
	for _, w := range wordsAt(p.payload, field) {
		listed := c.words[field][w]
		if listed == nil {
			listed = new(set)
			c.words[field][w] = listed
		}
		listed.add(p.slot)
	}
}

func (c *collection) strike(field string, p *point) {
	for _, w := range wordsAt(p.payload, field) {
		if listed := c.words[field][w]; listed != nil {
			listed.remove(p.slot)
		}
	}
}

// unlist lets nothing find a point any more.
func (c *collection) unlist(p *point) {
	for field := range c.words {
		c.strike(field, p)
	}
	for name := range p.dense {
		c.dense[name].present.remove(p.slot)
	}
	for name, v := range p.sparse {
		c.sparse[name].remove(p.slot, v)
	}
	c.used.remove(p.slot)
	c.slots[p.slot] = nil
}

// remove deletes a point. The caller holds the lock.
func (c *collection) remove(key string) {
	p := c.points[key]
	if p == nil {
		return
	}
	c.unlist(p)
	delete(c.points, key)
	c.free = append(c.free, p.slot)
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
	kind := info.GetDataType()
	if kind != qdrant.PayloadSchemaType_Keyword && kind != qdrant.PayloadSchemaType_Bool || c.words[field] != nil {
		return
	}
	c.words[field] = make(map[word]*set)
	for _, p := range c.points {
		c.list(field, p)
	}
}

func wordsAt(payload map[string]*qdrant.Value, field string) []word {
	path, err := parsePath(field)
	if err != nil {
		return nil
	}
	var words []word
	for _, v := range path.values(payload) {
		switch k := v.GetKind().(type) {
		case *qdrant.Value_StringValue:
			words = append(words, k.StringValue)
		case *qdrant.Value_BoolValue:
			words = append(words, k.BoolValue)
		}
	}
	return words
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
	p := &point{id: in.GetId(), key: key, payload: in.GetPayload(), dense: make(map[string][]float32), sparse: make(map[string]sparseVector)}
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
	p.dense[name] = data
	return nil
}
