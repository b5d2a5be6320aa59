package admission

import (
	"context"
	"sync"

	"github.com/ragbus/ragbus/pkg/fault"
)

// doors let one caller at a time count what is in a place and add to it: two
// who count at once would both take the same room.
type doors struct {
	mu   sync.Mutex
	open map[place]*door
}

// door is there as long as somebody is in it or before it.
type door struct {
	turn chan struct{} // holds who is in the door
	size int           // of all who are in it or before it
	next bool          // one of those before it will look at the line
}

func newDoors() *doors { return &doors{open: make(map[place]*door)} }

// enter waits until nobody is in the door. The caller leaves.
func (d *doors) enter(ctx context.Context, p place) (leave func(), err error) {
	leave, _, err = d.pass(ctx, p, false)
	return leave, err
}

// look is enter for who looks at the whole line. It is false, and there is
// nothing to leave, when another one waits who will see all that the caller would.
func (d *doors) look(ctx context.Context, p place) (leave func(), first bool, err error) {
	return d.pass(ctx, p, true)
}

func (d *doors) pass(ctx context.Context, p place, looks bool) (leave func(), first bool, err error) {
	d.mu.Lock()
	at := d.open[p]
	if at == nil {
		at = &door{turn: make(chan struct{}, 1)}
		d.open[p] = at
	}
	if looks && at.next {
		d.mu.Unlock()
		return nil, false, nil
	}
	at.size++
	at.next = at.next || looks
	d.mu.Unlock()

	select {
	case at.turn <- struct{}{}:
	case <-ctx.Done():
		err = fault.Transientf("window_busy", "others are letting work of this tenant in").WithCause(ctx.Err())
	}
	if looks {
		// From here on what comes into the line may be missed by this one.
		d.mu.Lock()
		at.next = false
		d.mu.Unlock()
	}
	if err != nil {
		d.leave(p, at)
		return nil, true, err
	}
	return func() {
		<-at.turn
		d.leave(p, at)
	}, true, nil
}

func (d *doors) leave(p place, at *door) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at.size--; at.size == 0 {
		delete(d.open, p)
	}
}
