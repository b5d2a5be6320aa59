package qdrantvector

import (
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// answers are what a batch of queries has found, read from the wire into
// what a search needs: as messages, the payloads of some hundred points are a
// thousand maps and values, and building those was most of what a search cost.
type answers struct {
	results [][]point
	// names holds each name once, for many points share a document.
	names map[string]string
}

// point is a point that a query has found, with what search asks for of its payload.
type point struct {
	id    uuid.UUID
	score float32

	document, version, collection string
	ordinal                       int64

	// revision and state are a head's.
	revision int64
	state    string
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
	a.results, a.names = nil, make(map[string]string)
	return eachField(message, func(f wireField) error {
		if f.number != batchResult || f.kind != protowire.BytesType {
			return nil
		}
		points, err := a.readResult(f.bytes)
		a.results = append(a.results, points)
		return err
	})
}

func (a *answers) readResult(message []byte) ([]point, error) {
	n := 0
	if err := eachField(message, func(f wireField) error {
		if f.number == batchPoint && f.kind == protowire.BytesType {
			n++
		}
		return nil
	}); err != nil {
		return nil, err
	}
	points := make([]point, 0, n)
	err := eachField(message, func(f wireField) error {
		if f.number != batchPoint || f.kind != protowire.BytesType {
			return nil
		}
		points = append(points, point{})
		return a.readPoint(f.bytes, &points[len(points)-1])
	})
	return points, err
}

func (a *answers) readPoint(message []byte, p *point) error {
	return eachField(message, func(f wireField) error {
		switch {
		case f.number == pointID && f.kind == protowire.BytesType:
			return readID(f.bytes, p)
		case f.number == pointPayload && f.kind == protowire.BytesType:
			return a.readEntry(f.bytes, p)
		case f.number == pointScore && f.kind == protowire.Fixed32Type:
			p.score = math.Float32frombits(uint32(f.number64))
		}
		return nil
	})
}

// readID wants a UUID: this package writes no other ids.
func readID(message []byte, p *point) error {
	return eachField(message, func(f wireField) error {
		if f.number != idUUID || f.kind != protowire.BytesType || len(f.bytes) != uuidTextLength {
			return errMalformed
		}
		id, err := uuid.ParseBytes(f.bytes)
		if err != nil {
			return errMalformed
		}
		p.id = id
		return nil
	})
}

func (a *answers) readEntry(message []byte, p *point) error {
	var key, value []byte
	if err := eachField(message, func(f wireField) error {
		switch {
		case f.kind != protowire.BytesType:
		case f.number == entryKey:
			key = f.bytes
		case f.number == entryValue:
			value = f.bytes
		}
		return nil
	}); err != nil {
		return err
	}
	return eachField(value, func(f wireField) error {
		switch {
		case f.number == valueText && f.kind == protowire.BytesType:
			a.setText(p, string(key), f.bytes)
		case f.number == valueInteger && f.kind == protowire.VarintType:
			switch string(key) {
			case ordinalKey:
				p.ordinal = int64(f.number64)
			case revisionKey:
				p.revision = int64(f.number64)
			}
		}
		return nil
	})
}

func (a *answers) setText(p *point, key string, text []byte) {
	switch key {
	case documentKey:
		p.document = a.name(text)
	case versionKey:
		p.version = a.name(text)
	case collectionKey:
		p.collection = a.name(text)
	case stateKey:
		p.state = string(text)
	}
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

func eachField(message []byte, do func(wireField) error) error {
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return errMalformed
		}
		message = message[size:]
		f := wireField{number: number, kind: kind}
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
			return errMalformed
		}
		message = message[size:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}
