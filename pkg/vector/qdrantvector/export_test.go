package qdrantvector

import "time"

// AdvanceClock lets the store's clock run ahead by d.
func (s *Store) AdvanceClock(d time.Duration) {
	now := s.now
	s.now = func() time.Time { return now().Add(d) }
}
