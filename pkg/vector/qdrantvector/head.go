package qdrantvector

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	randv2 "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/qdrant/go-client/qdrant"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/vector"
)

// head is what the index knows of a document as a whole: one point without
// vectors, changed in one step. It outlives the document's points, for it
// remembers deletions.
type head struct {
	// Revision counts changes; 0 is a head that was not written yet.
	Revision int64 `json:"-"`
	// Generation is the newest that wrote, Deleted the newest that was deleted.
	Generation int64 `json:"generation"`
	Deleted    int64 `json:"deleted"`
	// Live is the version that searches see, "" for none, and LiveGeneration
	// that of the activation.
	Live           string `json:"live"`
	LiveGeneration int64  `json:"live_generation"`
	Collection     string `json:"collection"`
	attributes
	// Flipped is when Live changed last, in milliseconds by the writer's clock.
	Flipped int64 `json:"flipped"`
	// Retired is set while points may exist of a version that was live before:
	// searches that have begun may still read them.
	Retired bool `json:"retired,omitempty"`
	// Rebuilt is set when a rebuild made Live what it is, not its writer.
	Rebuilt bool `json:"rebuilt,omitempty"`
	// Tokens of the last changes: whoever finds its own has written.
	Tokens []string `json:"tokens"`
}

const (
	revisionKey = "revision"
	stateKey    = "state"
	// rememberedTokens is how many changes may pass before their writer looks.
	rememberedTokens = 8
	// changeAttempts bounds how often a change is tried against others.
	changeAttempts = 20
)

func noHead() *head {
	return &head{Generation: math.MinInt64, Deleted: math.MinInt64}
}

// version returns the live version, "" for none.
func (h *head) version() string {
	if h == nil {
		return ""
	}
	return h.Live
}

// fence returns ErrStale to a writer that is late.
func (h *head) fence(doc vector.Document) error {
	if doc.Generation < h.Generation || doc.Generation <= h.Deleted {
		return fault.As(fault.Permanent, vector.ErrStale)
	}
	return nil
}

func (h *head) clone() *head {
	c := *h
	c.Tokens = slices.Clone(h.Tokens)
	return &c
}

func (h *head) point(id *qdrant.PointId) (*qdrant.PointStruct, error) {
	state, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode the head of a document: %w", err)
	}
	return &qdrant.PointStruct{
		Id: id, Vectors: qdrant.NewVectorsMap(map[string]*qdrant.Vector{}),
		Payload: map[string]*qdrant.Value{revisionKey: qdrant.NewValueInt(h.Revision), stateKey: qdrant.NewValueString(string(state))},
	}, nil
}

func decodeHead(payload map[string]*qdrant.Value) (*head, error) {
	return readHead(payload[revisionKey].GetIntegerValue(), payload[stateKey].GetStringValue())
}

func readHead(revision int64, state string) (*head, error) {
	h := noHead()
	if err := json.Unmarshal([]byte(state), h); err != nil {
		return nil, fmt.Errorf("decode the head of a document: %w", err)
	}
	h.Revision = revision
	return h, nil
}

// maxHeads bounds what is remembered of heads.
const maxHeads = 8192

// heads remembers what the heads said that searches have read: a search reads
// those of a dozen documents, which seldom change. What a head says is read
// from the index every time; only taking it apart is spared.
type heads struct {
	mu    sync.Mutex
	known map[uuid.UUID]knownHead
}

type knownHead struct {
	state string
	head  *head
}

func newHeads() *heads { return &heads{known: make(map[uuid.UUID]knownHead)} }

// decode returns the head that a point is. It must not be modified.
func (m *heads) decode(p *point) (*head, error) {
	m.mu.Lock()
	found, ok := m.known[p.id]
	m.mu.Unlock()
	if ok && found.head.Revision == p.revision && found.state == p.state {
		return found.head, nil
	}
	h, err := readHead(p.revision, p.state)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxHeads {
		clear(m.known)
	}
	m.known[p.id] = knownHead{state: p.state, head: h}
	return h, nil
}

// head returns a document's head in a collection; one of revision 0 when there is none.
func (s *Store) head(ctx context.Context, collection, tenant, document string) (*head, error) {
	found, err := s.client.points().Get(ctx, &qdrant.GetPoints{
		CollectionName: collection, Ids: []*qdrant.PointId{headID(tenant, document)}, WithPayload: qdrant.NewWithPayload(true),
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // a fault of the client
	}
	if len(found.GetResult()) == 0 {
		return noHead(), nil
	}
	return decodeHead(found.GetResult()[0].GetPayload())
}

// change replaces a document's head by what edit makes of it, in one step, and
// returns the one that holds then. edit works on a copy and reports whether
// something is to change; it is called again when another writer was first, so
// what it does beside must bear repeating. It returns the head as it is when
// nothing changes.
//
// The server changes a point only if its revision is the one read, and does
// not say whether it did: that is read back.
func (s *Store) change(ctx context.Context, collection, tenant, document string, edit func(*head) (bool, error)) (*head, error) {
	for attempt := range changeAttempts {
		old, err := s.head(ctx, collection, tenant, document)
		if err != nil {
			return nil, err
		}
		next := old.clone()
		changed, err := edit(next)
		if err != nil || !changed {
			return old, err
		}
		token := rand.Text()
		next.Revision++
		next.Tokens = append(next.Tokens[max(0, len(next.Tokens)-rememberedTokens+1):], token)
		if err := s.putHead(ctx, collection, headID(tenant, document), old.Revision, next); err != nil {
			return nil, err
		}
		now, err := s.head(ctx, collection, tenant, document)
		if err != nil {
			return nil, err
		}
		if slices.Contains(now.Tokens, token) {
			return now, nil
		}
		if err := sleep(ctx, randv2.N(time.Millisecond<<min(attempt, 6))); err != nil { //nolint:gosec // jitter needs no secrecy
			return nil, fmt.Errorf("change the head of a document: %w", err)
		}
	}
	return nil, fault.Transientf("index_contended", "too many writers change the same document at once")
}

func (s *Store) putHead(ctx context.Context, collection string, id *qdrant.PointId, revision int64, h *head) error {
	point, err := h.point(id)
	if err != nil {
		return err
	}
	_, err = s.client.points().Upsert(ctx, &qdrant.UpsertPoints{
		CollectionName: collection, Wait: new(true), Ordering: strong(), Points: []*qdrant.PointStruct{point},
		UpdateFilter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatchInt(revisionKey, revision)}},
	})
	return err //nolint:wrapcheck // a fault of the client
}

// strong ordering sends the writes of a point through one peer, one after the other.
func strong() *qdrant.WriteOrdering {
	return &qdrant.WriteOrdering{Type: qdrant.WriteOrderingType_Strong}
}
