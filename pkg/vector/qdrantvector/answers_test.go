package qdrantvector

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/ragbus/ragbus/pkg/vector"
)

// randomAnswer is an answer as servers send it, with more in it than is asked for.
func randomAnswer(rng *rand.Rand) *qdrant.QueryBatchResponse {
	out := &qdrant.QueryBatchResponse{Time: rng.Float64(), Usage: &qdrant.Usage{}}
	for range rng.IntN(3) {
		result := &qdrant.BatchResult{}
		for range rng.IntN(5) {
			p := &qdrant.ScoredPoint{Id: qdrant.NewIDUUID(uuid.NewString()), Score: rng.Float32(), Version: rng.Uint64(), Payload: map[string]*qdrant.Value{
				refKey:      qdrant.NewValueString(refOf(vector.Document{ID: fmt.Sprint("d", rng.IntN(3)), Version: "v"}, rng.IntN(1000))),
				documentKey: qdrant.NewValueString("other"), collectionKey: qdrant.NewValueString("ü"), aclKey: qdrant.NewValueFromList(qdrant.NewValueString("*")), liveKey: qdrant.NewValueBool(true),
				revisionKey: qdrant.NewValueInt(-rng.Int64()), stateKey: qdrant.NewValueString("{}"), "other": qdrant.NewValueDouble(1), "none": qdrant.NewValueNull(),
			}}
			if rng.IntN(2) == 0 {
				p.Payload, p.OrderValue = nil, &qdrant.OrderValue{}
			}
			result.Result = append(result.Result, p)
		}
		out.Result = append(out.Result, result)
	}
	return out
}

func TestAnswersAreWhatTheMessagesSay(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		message := randomAnswer(rng)
		data, err := proto.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		var want [][]point
		for _, result := range message.GetResult() {
			points := []point{}
			for _, p := range result.GetResult() {
				payload := p.GetPayload()
				one := point{
					id: uuid.MustParse(p.GetId().GetUuid()), score: p.GetScore(),
					revision: payload[revisionKey].GetIntegerValue(), state: payload[stateKey].GetStringValue(),
				}
				if parts := strings.Split(payload[refKey].GetStringValue(), "/"); len(parts) == 3 {
					one.source = &source{parts[1], parts[2]}
					if one.ordinal, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
						t.Fatal(err)
					}
				}
				points = append(points, one)
			}
			want = append(want, points)
		}
		var got answers
		if err := got.read(data); err != nil {
			t.Fatal(err)
		}
		clear(data) // nothing of it may be kept
		if diff := cmp.Diff(want, got.results, cmp.AllowUnexported(point{}, source{})); diff != "" {
			t.Fatalf("%v (-want +got):\n%s", message, diff)
		}
	}
}

// TestAnswersComeInPieces reads with one codec what is cut anywhere, shorter
// and longer in turn.
func TestAnswersComeInPieces(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 10))
	codec := newAnswerCodec()
	for range 200 {
		data, err := proto.Marshal(randomAnswer(rng))
		if err != nil {
			t.Fatal(err)
		}
		var want answers
		if err := want.read(data); err != nil {
			t.Fatal(err)
		}
		var pieces mem.BufferSlice
		for rest := data; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			pieces, rest = append(pieces, mem.SliceBuffer(rest[:n])), rest[n:]
		}
		var got answers
		if err := codec.Unmarshal(pieces, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.results, got.results, cmp.AllowUnexported(point{}, source{})); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
	if err := codec.Unmarshal(nil, &qdrant.QueryResponse{}); err == nil {
		t.Error("another message was taken")
	}
}

func TestMalformedAnswersAreRefused(t *testing.T) {
	t.Parallel()
	points := []*qdrant.ScoredPoint{
		{Id: qdrant.NewIDNum(7)}, {Id: qdrant.NewIDUUID("x")}, {Id: qdrant.NewIDUUID("zzzzzzzz-zzzz-zzzz-zzzz-zzzzzzzzzzzz")}, {Id: &qdrant.PointId{}},
	}
	for _, ref := range []string{"", "1", "x/d/v", "1/d", "1/d/v/c"} {
		points = append(points, &qdrant.ScoredPoint{Payload: map[string]*qdrant.Value{refKey: qdrant.NewValueString(ref)}})
	}
	for _, p := range points {
		data, err := proto.Marshal(&qdrant.QueryBatchResponse{Result: []*qdrant.BatchResult{{Result: []*qdrant.ScoredPoint{p}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := new(answers).read(data); err == nil {
			t.Errorf("%v was taken", p)
		}
	}
}

// FuzzAnswers checks that what is no answer is an error and nothing worse, and
// that what this package reads is what the messages' own code reads.
func FuzzAnswers(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 5 {
		data, err := proto.Marshal(randomAnswer(rng))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got answers
		if got.read(data) != nil {
			return
		}
		var message qdrant.QueryBatchResponse
		if proto.Unmarshal(data, &message) != nil {
			return // it minds what is skipped here
		}
		if len(message.GetResult()) != len(got.results) {
			t.Fatalf("%d results; want %d", len(got.results), len(message.GetResult()))
		}
		for i, result := range message.GetResult() {
			if len(result.GetResult()) != len(got.results[i]) {
				t.Fatalf("result %d: %d points; want %d", i, len(got.results[i]), len(result.GetResult()))
			}
		}
	})
}

func TestHeadsAreReadAnewWhenTheyChange(t *testing.T) {
	t.Parallel()
	m := newHeads()
	p := point{id: uuid.New(), revision: 1, state: `{"live":"a"}`}
	first, err := m.decode(&p)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.decode(&p); err != nil || again != first {
		t.Errorf("the same head was read twice: %v", err)
	}
	for _, changed := range []point{{id: p.id, revision: 2, state: p.state}, {id: p.id, revision: 2, state: `{"live":"b"}`}, {id: uuid.New(), revision: 1, state: p.state}} {
		h, err := m.decode(&changed)
		if err != nil || h == first || h.Revision != changed.revision {
			t.Errorf("%+v: %+v, %v", changed, h, err)
		}
	}
	if h, err := m.decode(&point{id: p.id, revision: 3, state: "{"}); err == nil {
		t.Errorf("a head that is none: %+v", h)
	}
}
