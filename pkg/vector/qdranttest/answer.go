package qdranttest

import (
	"fmt"
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Numbers of ScoredPoint.payload and of an entry of a map.
const (
	payloadField = 2
	keyField     = 1
	valueField   = 2
)

// encode prepares the payload for the answers of queries.
func (p *point) encode() error {
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

// answer returns the point as a query's answer has it. The payload is in it
// as it was encoded when the point was stored: a hundred maps for each
// query would cost more than the query.
func (s scored) answer(payload *qdrant.WithPayloadSelector, vectors *qdrant.WithVectorsSelector) *qdrant.ScoredPoint {
	out := &qdrant.ScoredPoint{Id: s.id, Score: s.score}
	var encoded []byte
	switch v := payload.GetSelectorOptions().(type) {
	case *qdrant.WithPayloadSelector_Enable:
		if v.Enable {
			for _, entry := range s.encoded {
				encoded = append(encoded, entry...)
			}
		}
	case *qdrant.WithPayloadSelector_Include:
		encoded = s.included(v.Include.GetFields())
	}
	if len(encoded) > 0 {
		out.ProtoReflect().SetUnknown(encoded)
	}
	if vectors.GetEnable() || vectors.GetInclude() != nil {
		out.Vectors = s.vectors(vectors)
	}
	return out
}

// inclusion is a choice of keys of a payload, encoded.
type inclusion struct {
	keys    []string
	encoded []byte
}

// included returns the keys of the payload, encoded. The last choice is
// remembered: one client asks for the same all the time.
func (p *point) included(keys []string) []byte {
	if last := p.last.Load(); last != nil && slices.Equal(last.keys, keys) {
		return last.encoded
	}
	var encoded []byte
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
