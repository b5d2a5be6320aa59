package qdrantvector

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ragbus/ragbus/pkg/vector"
)

// answers are what a batch of queries has found, read from the wire into
// what a search needs: as messages, the payloads of some hundred points are a
// thousand maps and values, and building those was most of what a search cost.
type answers struct {
	results [][]point
	// sources holds each source once, for many points share a version, and
	// names the names of collections.
	sources map[string]*source
	names   map[string]string
}

// point is a point that a query has found, with what search asks for of its payload.
type point struct {
	id    uuid.UUID
	score float32

	// ordinal, source and collection are a chunk's.
	ordinal    int64
	source     *source
	collection string

	// revision and state are a head's.
	revision int64
	state    string
}

// source is what a chunk is of.
type source struct{ document, version string }

// refOf writes where a chunk is from as one word, so that a search reads few
// keys of each point it finds. None of the parts has a slash in it. The
// collection is not among them: a document may move.
func refOf(doc vector.Document, ordinal int) string {
	return strconv.Itoa(ordinal) + "/" + doc.ID + "/" + doc.Version
}

// Numbers of fields in the messages that are read here (points.proto and
// json_with_int.proto of Qdrant's protocol).
const (
	batchResult    = 1 // QueryBatchResponse.result
	batchPoint     = 1 // BatchResult.result
	pointID        = 1 // ScoredPoint.id
	pointPayload   = 2 // ScoredPoint.payload
	pointScore     = 3 // ScoredPoint.score
	idUUID         = 2 // PointId.uuid
	entryKey       = 1 // of any map
	entryValue     = 2
	valueInteger   = 3 // Value.integer_value
	valueText      = 4 // Value.string_value
	uuidTextLength = 36
)

// answerCodec reads [answers]; requests are messages as ever.
type answerCodec struct{}

// Name implements [encoding.CodecV2].
func (answerCodec) Name() string { return proto.Name }

// Marshal implements [encoding.CodecV2].
func (answerCodec) Marshal(v any) (mem.BufferSlice, error) {
	return encoding.GetCodecV2(proto.Name).Marshal(v) //nolint:wrapcheck // gRPC wraps it
}

// Unmarshal implements [encoding.CodecV2].
func (answerCodec) Unmarshal(data mem.BufferSlice, v any) error {
	a, ok := v.(*answers)
	if !ok {
		return fmt.Errorf("cannot read an answer into a %T", v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	return a.read(whole.ReadOnlyData())
}

var errMalformed = errors.New("the answer of the search index is malformed")

// read takes a QueryBatchResponse. Nothing of the message is kept.
func (a *answers) read(message []byte) error {
	a.results, a.sources, a.names = nil, make(map[string]*source), make(map[string]string)
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return err
		}
		message = rest
		if !f.is(batchResult, protowire.BytesType) {
			continue
		}
		points, err := a.readResult(f.bytes)
		if err != nil {
			return err
		}
		a.results = append(a.results, points)
	}
	return nil
}

func (a *answers) readResult(message []byte) ([]point, error) {
	n := 0
	for rest := message; len(rest) > 0; {
		f, after, err := nextField(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		if f.is(batchPoint, protowire.BytesType) {
			n++
		}
	}
	points := make([]point, 0, n)
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return nil, err
		}
		message = rest
		if !f.is(batchPoint, protowire.BytesType) {
			continue
		}
		points = append(points, point{})
		if err := a.readPoint(f.bytes, &points[len(points)-1]); err != nil {
			return nil, err
		}
	}
	return points, nil
}

func (a *answers) readPoint(message []byte, p *point) error {
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return err
		}
		message = rest
		switch {
		case f.is(pointID, protowire.BytesType):
			err = readID(f.bytes, p)
		case f.is(pointPayload, protowire.BytesType):
			err = a.readEntry(f.bytes, p)
		case f.is(pointScore, protowire.Fixed32Type):
			p.score = math.Float32frombits(uint32(f.number64))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readID wants a UUID: this package writes no other ids.
func readID(message []byte, p *point) error {
	f, rest, err := nextField(message)
	if err != nil || len(rest) > 0 || !f.is(idUUID, protowire.BytesType) || len(f.bytes) != uuidTextLength {
		return errMalformed
	}
	if p.id, err = uuid.ParseBytes(f.bytes); err != nil {
		return errMalformed
	}
	return nil
}

func (a *answers) readEntry(message []byte, p *point) error {
	var key, value []byte
	for len(message) > 0 {
		f, rest, err := nextField(message)
		if err != nil {
			return err
		}
		message = rest
		switch {
		case f.is(entryKey, protowire.BytesType):
			key = f.bytes
		case f.is(entryValue, protowire.BytesType):
			value = f.bytes
		}
	}
	for len(value) > 0 {
		f, rest, err := nextField(value)
		if err != nil {
			return err
		}
		value = rest
		switch {
		case string(key) == refKey && f.is(valueText, protowire.BytesType):
			if err := a.readRef(f.bytes, p); err != nil {
				return err
			}
		case string(key) == collectionKey && f.is(valueText, protowire.BytesType):
			p.collection = a.name(f.bytes)
		case string(key) == stateKey && f.is(valueText, protowire.BytesType):
			p.state = string(f.bytes)
		case string(key) == revisionKey && f.is(valueInteger, protowire.VarintType):
			p.revision = int64(f.number64)
		}
	}
	return nil
}

// readRef takes what [refOf] has written.
func (a *answers) readRef(ref []byte, p *point) error {
	ordinal, where, ok := bytes.Cut(ref, []byte("/"))
	if !ok {
		return errMalformed
	}
	var err error
	if p.ordinal, err = strconv.ParseInt(string(ordinal), 10, 64); err != nil {
		return errMalformed
	}
	if p.source = a.sources[string(where)]; p.source != nil {
		return nil
	}
	document, version, ok := strings.Cut(string(where), "/")
	if !ok || strings.Contains(version, "/") {
		return errMalformed
	}
	p.source = &source{document: document, version: version}
	a.sources[string(where)] = p.source
	return nil
}

func (a *answers) name(text []byte) string {
	name, ok := a.names[string(text)]
	if !ok {
		name = string(text)
		a.names[name] = name
	}
	return name
}

// wireField is a field of a message: its content, or its number.
type wireField struct {
	number   protowire.Number
	kind     protowire.Type
	bytes    []byte
	number64 uint64
}

func (f *wireField) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

func nextField(message []byte) (f wireField, rest []byte, err error) {
	number, kind, size := protowire.ConsumeTag(message)
	if size < 0 {
		return f, nil, errMalformed
	}
	message = message[size:]
	f.number, f.kind = number, kind
	switch kind {
	case protowire.BytesType:
		f.bytes, size = protowire.ConsumeBytes(message)
	case protowire.VarintType:
		f.number64, size = protowire.ConsumeVarint(message)
	case protowire.Fixed32Type:
		var v uint32
		v, size = protowire.ConsumeFixed32(message)
		f.number64 = uint64(v)
	default: // of those that there are, none is wanted
		size = protowire.ConsumeFieldValue(number, kind, message)
	}
	if size < 0 {
		return f, nil, errMalformed
	}
	return f, message[size:], nil
}
