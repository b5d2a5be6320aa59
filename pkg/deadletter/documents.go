package deadletter

import (
	"context"
	"fmt"
	"strings"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

// EachOfDocuments shows visit the letters of work on documents, of all
// tenants, oldest first, each with what its worker was told, until visit
// returns an error, which is then returned. Letters whose message cannot be
// read any more are passed over, and letters that come meanwhile may be.
func (s *Store) EachOfDocuments(ctx context.Context, visit func(Letter, event.Event) error) error {
	var subjects []string
	for _, k := range working() {
		if k != event.KindChatAsked && k != event.KindChatRetrieved {
			subjects = append(subjects, broker.DeadPrefix+strings.TrimSuffix(event.SubjectFilter(k), "*")+">")
		}
	}
	var after uint64
	for {
		var letters []Letter
		looked := 0
		err := broker.Browse(ctx, s.js, broker.Range{Stream: broker.StreamDead, Subjects: subjects, After: after}, func(m broker.Leaf) bool {
			looked++
			after = m.Sequence
			if l, ok := read(m); ok && !l.Truncated {
				letters = append(letters, l)
			}
			return looked < maxLooked
		})
		if err != nil {
			return fmt.Errorf("look at all dead letters: %w", err)
		}
		for _, l := range letters {
			if err := s.show(ctx, l, visit); err != nil {
				return err
			}
		}
		if looked < maxLooked {
			return nil
		}
	}
}

// show reads one letter whole for visit.
func (s *Store) show(ctx context.Context, l Letter, visit func(Letter, event.Event) error) error {
	full, err := s.Get(ctx, l.Tenant, l.ID)
	if fault.Is(err, fault.NotFound) {
		return nil // somebody has removed it
	}
	if err != nil {
		return err
	}
	e, err := full.event()
	if err != nil {
		return nil //nolint:nilerr // its worker could not read it either
	}
	return visit(l, e)
}
