package qdrantvector

import (
	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// weights returns a passage's BM25 weights by term, without the IDF, which the
// server multiplies in. A passage without terms has an empty vector, which
// counts among the passages that IDF is computed over, as in the embedded store.
//
// Terms are known by 32 bits of a hash. Two terms that share an id are one to
// the index: among a vocabulary of n terms a given one meets another with
// probability n/2^32, 0.02 % at a million (measured: collisions_test.go). It
// then counts as somewhat more frequent than it is.
func weights(a lexical.Analysis) *qdrant.Vector {
	indices, values := make([]uint32, len(a.Terms)), make([]float32, len(a.Terms))
	for i, t := range a.Terms {
		indices[i], values[i] = t.ID, lexical.Impact(t.Count, a.Length)
	}
	return qdrant.NewVectorSparse(indices, values)
}

// sparseQuery returns a question's terms, weighted by how often it has them.
func sparseQuery(terms []lexical.Term) *qdrant.Query {
	indices, values := make([]uint32, len(terms)), make([]float32, len(terms))
	for i, t := range terms {
		indices[i], values[i] = t.ID, float32(t.Count)
	}
	return qdrant.NewQuerySparse(indices, values)
}

// Numbers of SearchParams.idf, which the client's release does not know yet,
// and of the filter in it.
const (
	idfField    = 6
	corpusField = 1
)

// idfOver returns parameters that have IDF computed over what the filter lets
// through. They are sent as a field that the client does not know; servers
// before 1.19 do not know it either, and take the whole collection.
func idfOver(population *qdrant.Filter) (*qdrant.SearchParams, error) {
	filter, err := proto.MarshalOptions{Deterministic: true}.Marshal(population)
	if err != nil {
		return nil, err //nolint:wrapcheck // cannot fail on what this package builds
	}
	corpus := protowire.AppendBytes(protowire.AppendTag(nil, corpusField, protowire.BytesType), filter)
	params := new(qdrant.SearchParams)
	params.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, idfField, protowire.BytesType), corpus))
	return params, nil
}
