package qdrantvector

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

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
	// sources holds each source once, for many points share a version.
	sources map[string]*source
}

// point is a point that a query has found, with what search asks for of its payload.
type point struct {
	id    uuid.UUID
	score float32

	// ordinal and source are a chunk's.
	ordinal int64
	source  *source

	// keywordRank is the chunk's place in the keyword leg, from 1 on; 0 before ranking, and where that has not found it.
	keywordRank int

	// revision and state are a head's.
	revision int64
	state    string
}

// source is what a chunk is of.
type source struct{ document, version string }

// refOf writes where a chunk is from as one word, so that a search reads few
// keys of each point it finds. None of the parts has a slash in it. The
// collection is not among them, for a document may move: its head knows.
func refOf(doc vector.Document, ordinal int) string {
	return strconv.Itoa(ordinal) + "/" + doc.ID + "/" + doc.Version
}

// Fields of the messages that are read here (points.proto and
// json_with_int.proto of Qdrant's protocol), as they begin on the wire: the
// field's number and how its value is written.
const (
	batchResult    = 1<<3 | uint64(protowire.BytesType)   // QueryBatchResponse.result
	batchPoint     = 1<<3 | uint64(protowire.BytesType)   // BatchResult.result
	pointID        = 1<<3 | uint64(protowire.BytesType)   // ScoredPoint.id
	pointPayload   = 2<<3 | uint64(protowire.BytesType)   // ScoredPoint.payload
	pointScore     = 3<<3 | uint64(protowire.Fixed32Type) // ScoredPoint.score
	idUUID         = 2<<3 | uint64(protowire.BytesType)   // PointId.uuid
	entryKey       = 1<<3 | uint64(protowire.BytesType)   // of any map
	entryValue     = 2<<3 | uint64(protowire.BytesType)
	valueInteger   = 3<<3 | uint64(protowire.VarintType) // Value.integer_value
	valueText      = 4<<3 | uint64(protowire.BytesType)  // Value.string_value
	uuidTextLength = 36
)

// answerCodec reads [answers]; requests are messages as ever. It is safe for concurrent use.
type answerCodec struct {
	// whole has memory for answers in one piece. gRPC's own is cleared with
	// each use, which costs as much as copying.
	whole *sync.Pool
}

func newAnswerCodec() answerCodec {
	return answerCodec{&sync.Pool{New: func() any { return new([]byte) }}}
}

// maxKept bounds the memory for answers that is used again.
const maxKept = 1 << 20

// Name implements [encoding.CodecV2].
func (answerCodec) Name() string { return proto.Name }

// Marshal implements [encoding.CodecV2].
func (answerCodec) Marshal(v any) (mem.BufferSlice, error) {
	return encoding.GetCodecV2(proto.Name).Marshal(v) //nolint:wrapcheck // gRPC wraps it
}

// Unmarshal implements [encoding.CodecV2].
func (c answerCodec) Unmarshal(data mem.BufferSlice, v any) error {
	a, ok := v.(*answers)
	if !ok {
		return fmt.Errorf("cannot read an answer into a %T", v)
	}
	if len(data) == 1 {
		return a.read(data[0].ReadOnlyData())
	}
	whole, ok := c.whole.Get().(*[]byte)
	if !ok {
		whole = new([]byte)
	}
	*whole = slices.Grow((*whole)[:0], data.Len())[:data.Len()]
	data.CopyTo(*whole)
	err := a.read(*whole)
	if cap(*whole) <= maxKept {
		c.whole.Put(whole)
	}
	return err
}

var errMalformed = errors.New("the answer of the search index is malformed")

// read takes a QueryBatchResponse. Nothing of the message is kept.
func (a *answers) read(message []byte) error {
	a.results, a.sources = nil, make(map[string]*source)
	all := fields{rest: message}
	for all.next() {
		if all.tag != batchResult {
			continue
		}
		points, err := a.readResult(all.bytes)
		if err != nil {
			return err
		}
		a.results = append(a.results, points)
	}
	return all.err
}

func (a *answers) readResult(message []byte) ([]point, error) {
	n := 0
	for counted := (fields{rest: message}); counted.next(); {
		if counted.tag == batchPoint {
			n++
		}
	}
	points := make([]point, 0, n)
	all := fields{rest: message}
	for all.next() {
		if all.tag != batchPoint {
			continue
		}
		points = append(points, point{})
		if err := a.readPoint(all.bytes, &points[len(points)-1]); err != nil {
			return nil, err
		}
	}
	return points, all.err
}

func (a *answers) readPoint(message []byte, p *point) error {
	all := fields{rest: message}
	for all.next() {
		var err error
		switch all.tag {
		case pointID:
			err = readID(all.bytes, p)
		case pointPayload:
			err = a.readEntry(all.bytes, p)
		case pointScore:
			p.score = math.Float32frombits(uint32(all.number))
		}
		if err != nil {
			return err
		}
	}
	return all.err
}

// readID wants a UUID: this package writes no other ids.
func readID(message []byte, p *point) error {
	id := fields{rest: message}
	if !id.next() || len(id.rest) > 0 || id.tag != idUUID || len(id.bytes) != uuidTextLength {
		return errMalformed
	}
	var err error
	if p.id, err = uuid.ParseBytes(id.bytes); err != nil {
		return errMalformed
	}
	return nil
}

func (a *answers) readEntry(message []byte, p *point) error {
	var key, value []byte
	entry := fields{rest: message}
	for entry.next() {
		switch entry.tag {
		case entryKey:
			key = entry.bytes
		case entryValue:
			value = entry.bytes
		}
	}
	if entry.err != nil {
		return entry.err
	}
	content := fields{rest: value}
	for content.next() {
		switch {
		case content.tag == valueText && string(key) == refKey:
			if err := a.readRef(content.bytes, p); err != nil {
				return err
			}
		case content.tag == valueText && string(key) == stateKey:
			p.state = string(content.bytes)
		case content.tag == valueInteger && string(key) == revisionKey:
			p.revision = int64(content.number)
		}
	}
	return content.err
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

// fields goes through the fields of a message.
type fields struct {
	rest []byte
	// tag says which field it is, bytes or number what it holds.
	tag    uint64
	bytes  []byte
	number uint64
	err    error
}

// next reads a field, and reports whether there was one.
func (f *fields) next() bool {
	if len(f.rest) == 0 {
		return false
	}
	tag, size := varint(f.rest)
	if size < 0 || tag>>3 < uint64(protowire.MinValidNumber) || tag>>3 > uint64(protowire.MaxValidNumber) {
		return f.malformed()
	}
	f.tag, f.rest = tag, f.rest[size:]
	switch kind := protowire.Type(tag & 7); kind {
	case protowire.BytesType:
		length, prefix := varint(f.rest)
		if prefix < 0 || length > uint64(len(f.rest)-prefix) {
			return f.malformed()
		}
		size = prefix + int(length)
		f.bytes = f.rest[prefix:size]
	case protowire.VarintType:
		f.number, size = varint(f.rest)
	case protowire.Fixed32Type:
		var number uint32
		number, size = protowire.ConsumeFixed32(f.rest)
		f.number = uint64(number)
	default: // of those that there are, none is wanted
		size = protowire.ConsumeFieldValue(protowire.Number(tag>>3), kind, f.rest)
	}
	if size < 0 {
		return f.malformed()
	}
	f.rest = f.rest[size:]
	return true
}

func (f *fields) malformed() bool {
	f.rest, f.err = nil, errMalformed
	return false
}

// varint reads a number, most of which take one byte.
func varint(b []byte) (number uint64, size int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}
