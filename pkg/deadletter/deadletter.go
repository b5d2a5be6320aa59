// Package deadletter is how people operate on work that was given up. Workers
// bury what cannot be done (package worker) in the stream RAG_DEAD, with its
// story in headers; here it is listed, shown, tried again and removed, always
// on behalf of one tenant.
//
// A letter is known by its place in the stream and a digest of what stands
// there: one look finds it, and when the stream was made anew an old id finds
// nothing rather than another letter. The id does not depend on the message
// that died, for the same message can die again after it was tried again.
package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

const (
	// MaxLimit is how many letters one page or one batch has at most.
	MaxLimit = 100
	// maxLooked bounds how many letters one call looks at: those that a
	// filter by class, code or time passes over cost work too.
	maxLooked = 5000
)

// Letter is the story of work that was given up.
type Letter struct {
	ID     string
	Tenant string
	// Stage is the consumer whose worker gave up: "ingestor-embed".
	Stage string
	// Kind is what the message is, by its subject.
	Kind event.Kind
	// Stream and Subject are where the message was.
	Stream  string
	Subject string
	// EventID is the message's own id, and About the document or chat that it
	// concerns; "" when the message does not say.
	EventID string
	About   string
	// Attempts counts deliveries since the last redrive, Redrives those.
	Attempts int
	Redrives int
	Class    fault.Class
	Code     string
	// Message is fit for the person whose work it was, Reason for operators only.
	Message string
	Reason  string
	// FirstAt is when the message was stored for the first time, DiedAt when it was given up.
	FirstAt time.Time
	DiedAt  time.Time
	// Deadline is after which the work is worthless; zero for none.
	Deadline time.Time
	// TraceID is the W3C trace of the work, "" when there is none.
	TraceID string
	// Worker is the name and host of who gave up.
	Worker string
	// Bytes is the size of the message's body. Truncated says that the body
	// had no room in the letter and is gone.
	Bytes     int
	Truncated bool

	sequence uint64
}

// Query selects letters of one tenant, oldest first.
type Query struct {
	Tenant string
	// Stage, Kind, Class and Code select; "" is all.
	Stage string
	Kind  event.Kind
	Class string
	Code  string
	// Since (inclusive) and Until (exclusive) bound when the work was given up; zero is no bound.
	Since time.Time
	Until time.Time
	// Limit is 1 to [MaxLimit].
	Limit  int
	Cursor string
}

// Store reads and removes the letters of a broker. It is safe for concurrent use.
type Store struct {
	js jetstream.JetStream
}

// NewStore returns the letters on a JetStream context.
func NewStore(js jetstream.JetStream) *Store { return &Store{js: js} }

// List returns the letters that q selects, oldest first: the broker reads a
// stream forwards only. Pages neither repeat nor skip a letter. next is "" on
// the last page; a page may hold fewer letters than asked, or none, and still
// have a next one, because one call looks at a bounded number of letters.
func (s *Store) List(ctx context.Context, q Query) (letters []Letter, next string, err error) {
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, "", err
	}
	letters, at, err = s.page(ctx, q, at)
	if err != nil || at.done {
		return letters, "", err
	}
	return letters, at.String(), nil
}

// page returns up to q.Limit letters after at, and where the next page begins.
func (s *Store) page(ctx context.Context, q Query, at cursor) ([]Letter, cursor, error) {
	subjects, err := q.subjects()
	if err != nil {
		return nil, at, err
	}
	if len(subjects) == 0 {
		at.done = true
		return nil, at, nil
	}
	var letters []Letter
	looked := 0
	at.done = true // until a letter is seen that is not of this page
	err = broker.Browse(ctx, s.js, broker.Range{Stream: broker.StreamDead, Subjects: subjects, After: at.after, Since: q.Since}, func(m broker.Leaf) bool {
		if at.upTo > 0 && m.Sequence > at.upTo || !q.Until.IsZero() && !m.StoredAt.Before(q.Until) {
			return false
		}
		if len(letters) == q.Limit || looked == maxLooked {
			at.done = false
			return false
		}
		looked++
		at.after = m.Sequence
		if l, ok := read(m); ok && q.selects(l) {
			letters = append(letters, l)
		}
		return true
	})
	if err != nil {
		return nil, at, fmt.Errorf("list dead letters: %w", err)
	}
	return letters, at, nil
}

// subjects returns the filters of what q may select.
func (q Query) subjects() ([]string, error) {
	kinds, err := kindsOf(q.Stage)
	if err != nil {
		return nil, err
	}
	if q.Kind != "" && !slices.Contains(working(), q.Kind) {
		return nil, fault.Invalidf("invalid_kind", "kind is one of %s", join(working())).WithField("kind")
	}
	var out []string
	for _, k := range kinds {
		if q.Kind == "" || q.Kind == k {
			out = append(out, broker.DeadPrefix+strings.TrimSuffix(event.SubjectFilter(k), "*")+q.Tenant)
		}
	}
	return out, nil
}

func (q Query) selects(l Letter) bool {
	return l.Tenant == q.Tenant && (q.Class == "" || q.Class == l.Class.String()) && (q.Code == "" || q.Code == l.Code) &&
		!l.DiedAt.Before(q.Since)
}

// Get returns one letter of a tenant. What is not there, or is another
// tenant's, is a NotFound fault "dead_letter_not_found".
func (s *Store) Get(ctx context.Context, tenant, id string) (Full, error) {
	sequence, ok := parseID(id)
	if !ok {
		return Full{}, notFound()
	}
	stream, err := s.js.Stream(ctx, broker.StreamDead)
	if err != nil {
		return Full{}, away(err)
	}
	m, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Full{}, notFound()
	}
	if err != nil {
		return Full{}, away(err)
	}
	l, ok := read(broker.Leaf{Subject: m.Subject, Header: m.Header, Sequence: m.Sequence, StoredAt: m.Time, Bytes: len(m.Data)})
	if !ok || l.Tenant != tenant || l.ID != id {
		return Full{}, notFound()
	}
	return Full{Letter: l, header: m.Header, data: m.Data}, nil
}

// Full is a letter with its message.
type Full struct {
	Letter

	header nats.Header
	data   []byte
}

// Remove removes one letter of a tenant for good; its bytes are overwritten.
// Faults are those of [Store.Get].
func (s *Store) Remove(ctx context.Context, tenant, id string) error {
	l, err := s.Get(ctx, tenant, id)
	if err != nil {
		return err
	}
	removed, err := s.erase(ctx, l.Letter)
	if err == nil && !removed {
		return notFound()
	}
	return err
}

// RemoveAll removes the letters that q selects, up to q.Limit of those that
// were there at the first call of the series: follow next until it is "".
func (s *Store) RemoveAll(ctx context.Context, q Query) (removed int, next string, err error) {
	letters, at, err := s.batch(ctx, q)
	if err != nil {
		return 0, "", err
	}
	for _, l := range letters {
		ok, err := s.erase(ctx, l)
		if err != nil {
			return removed, "", err
		}
		if ok {
			removed++
		}
	}
	if at.done {
		return removed, "", nil
	}
	return removed, at.String(), nil
}

// batch is a page of the letters that were there when the series began, so
// that what dies again meanwhile is not taken again and again.
func (s *Store) batch(ctx context.Context, q Query) ([]Letter, cursor, error) {
	at, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, at, err
	}
	if at.upTo == 0 {
		stream, err := s.js.Stream(ctx, broker.StreamDead)
		if err != nil {
			return nil, at, away(err)
		}
		at.upTo = stream.CachedInfo().State.LastSeq
	}
	if at.upTo == 0 {
		at.done = true
		return nil, at, nil
	}
	return s.page(ctx, q, at)
}

// erase removes a letter; false when another did so before.
func (s *Store) erase(ctx context.Context, l Letter) (bool, error) {
	stream, err := s.js.Stream(ctx, broker.StreamDead)
	if err != nil {
		return false, away(err)
	}
	err = stream.SecureDeleteMsg(ctx, l.sequence)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jetstream.ErrMsgNotFound), errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful):
		return false, nil
	}
	return false, away(err)
}

func notFound() error {
	return fault.NotFoundf("dead_letter_not_found", "there is no such dead letter")
}

func away(err error) error {
	return fault.Transientf("broker_unavailable", "the message broker cannot be reached").WithCause(err)
}

// letterID returns the id of what stands at a place in the stream.
func letterID(m broker.Leaf) string {
	const digest = 5 // bytes: enough to tell a letter from another at the same place
	sum := sha256.Sum256([]byte(m.Header.Get(event.HeaderMsgID) + "\n" + strconv.FormatInt(m.StoredAt.UnixNano(), 10)))
	return strconv.FormatUint(m.Sequence, 10) + "-" + hex.EncodeToString(sum[:digest])
}

func parseID(id string) (sequence uint64, ok bool) {
	place, _, ok := strings.Cut(id, "-")
	sequence, err := strconv.ParseUint(place, 10, 64)
	return sequence, ok && err == nil && sequence > 0
}

// cursor is where a series of pages stands: after a sequence and, for
// batches, up to one.
type cursor struct {
	after, upTo uint64
	done        bool
}

func (c cursor) String() string {
	return strconv.FormatUint(c.after, 10) + "-" + strconv.FormatUint(c.upTo, 10)
}

func parseCursor(s string) (c cursor, err error) {
	if s == "" {
		return c, nil
	}
	after, upTo, ok := strings.Cut(s, "-")
	c.after, err = strconv.ParseUint(after, 10, 64)
	if ok && err == nil {
		c.upTo, err = strconv.ParseUint(upTo, 10, 64)
	}
	if !ok || err != nil || c.String() != s {
		return cursor{}, fault.Invalidf("invalid_cursor", "the cursor is not one that this server gave").WithField("cursor")
	}
	return c, nil
}
