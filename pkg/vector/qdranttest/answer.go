package qdranttest

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Numbers of fields: of the result of a query or of one of a batch, of
// ScoredPoint and RetrievedPoint, and of an entry of a map.
const (
	resultField  = 1
	idField      = 1
	payloadField = 2
	scoreField   = 3
	vectorsField = 6
	keyField     = 1
	valueField   = 2
)

// encode prepares id and payload for the answers of queries.
func (p *point) encode() error {
	id, err := proto.Marshal(p.id)
	if err != nil {
		return fmt.Errorf("encode an id: %w", err)
	}
	p.encodedID = protowire.AppendBytes(protowire.AppendTag(nil, idField, protowire.BytesType), id)
	p.encoded = make(map[string][]byte, len(p.payload))
	for key, v := range p.payload {
		value, err := proto.Marshal(v)
		if err != nil {
			return fmt.Errorf("encode a payload: %w", err)
		}
		entry := protowire.AppendString(protowire.AppendTag(nil, keyField, protowire.BytesType), key)
		entry = protowire.AppendBytes(protowire.AppendTag(entry, valueField, protowire.BytesType), value)
		p.encoded[key] = protowire.AppendBytes(protowire.AppendTag(nil, payloadField, protowire.BytesType), entry)
	}
	return nil
}

// appendResult appends the point as a query's answer has it.
func (s scored) appendResult(out []byte, payload *qdrant.WithPayloadSelector, vectors *qdrant.WithVectorsSelector) ([]byte, error) {
	known := s.included(payload)
	var encoded []byte
	var err error
	if vectors.GetEnable() || vectors.GetInclude() != nil {
		if encoded, err = proto.Marshal(s.vectors(vectors)); err != nil {
			return nil, fmt.Errorf("encode vectors: %w", err)
		}
	}
	size := len(known) + protowire.SizeTag(scoreField) + protowire.SizeFixed32()
	if encoded != nil {
		size += protowire.SizeTag(vectorsField) + protowire.SizeBytes(len(encoded))
	}
	out = protowire.AppendVarint(protowire.AppendTag(out, resultField, protowire.BytesType), uint64(size))
	out = append(out, known...)
	out = protowire.AppendFixed32(protowire.AppendTag(out, scoreField, protowire.Fixed32Type), math.Float32bits(s.score))
	if encoded != nil {
		out = protowire.AppendBytes(protowire.AppendTag(out, vectorsField, protowire.BytesType), encoded)
	}
	return out, nil
}

// inclusion is a choice of keys of a payload, and id and payload encoded for it.
type inclusion struct {
	keys    []string
	encoded []byte
}

// included returns id and payload, encoded. The last choice of keys is
// remembered: one client asks for the same all the time, or for none.
func (p *point) included(payload *qdrant.WithPayloadSelector) []byte {
	var keys []string
	switch v := payload.GetSelectorOptions().(type) {
	case *qdrant.WithPayloadSelector_Include:
		keys = v.Include.GetFields()
	case *qdrant.WithPayloadSelector_Enable:
		if v.Enable {
			keys = slices.Sorted(maps.Keys(p.payload))
		}
	}
	if len(keys) == 0 {
		return p.encodedID
	}
	if last := p.last.Load(); last != nil && slices.Equal(last.keys, keys) {
		return last.encoded
	}
	encoded := slices.Clone(p.encodedID)
	for _, key := range keys {
		encoded = append(encoded, p.encoded[key]...)
	}
	p.last.Store(&inclusion{keys: keys, encoded: encoded})
	return encoded
}

// retrieved returns the point as an answer has it.
func (p *point) retrieved(payload *qdrant.WithPayloadSelector, vectors *qdrant.WithVectorsSelector) *qdrant.RetrievedPoint {
	out := &qdrant.RetrievedPoint{Id: p.id}
	switch v := payload.GetSelectorOptions().(type) {
	case *qdrant.WithPayloadSelector_Enable:
		if v.Enable {
			out.Payload = p.payload
		}
	case *qdrant.WithPayloadSelector_Include:
		out.Payload = make(map[string]*qdrant.Value)
		for _, key := range v.Include.GetFields() {
			if value, ok := p.payload[key]; ok {
				out.Payload[key] = value
			}
		}
	}
	if vectors.GetEnable() || vectors.GetInclude() != nil {
		out.Vectors = p.vectors(vectors)
	}
	return out
}

func (p *point) vectors(selector *qdrant.WithVectorsSelector) *qdrant.VectorsOutput {
	wanted := func(name string) bool {
		return selector.GetEnable() || slices.Contains(selector.GetInclude().GetNames(), name)
	}
	named := make(map[string]*qdrant.VectorOutput)
	for name, v := range p.dense {
		if wanted(name) {
			named[name] = &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Dense{Dense: &qdrant.DenseVector{Data: v}}}
		}
	}
	for name, v := range p.sparse {
		if !wanted(name) {
			continue
		}
		sparse := &qdrant.SparseVector{Indices: v.terms, Values: v.values}
		named[name] = &qdrant.VectorOutput{Vector: &qdrant.VectorOutput_Sparse{Sparse: sparse}}
	}
	return &qdrant.VectorsOutput{VectorsOptions: &qdrant.VectorsOutput_Vectors{Vectors: &qdrant.NamedVectorsOutput{Vectors: named}}}
}
