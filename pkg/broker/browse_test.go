package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
)

func TestBrowsingShowsEachMessageOnceAndTakesNone(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	const count = 600 // more than a batch
	for i := range count {
		m := &nats.Msg{Subject: broker.DeadPrefix + []string{"x", "x", "y", "z"}[i%4], Header: nats.Header{"n": {fmt.Sprint(i)}}, Data: []byte("body")}
		if _, err := b.Publisher.Store(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	subjects := map[string][]string{"all": nil, "one": {broker.DeadPrefix + "x"}, "two": {broker.DeadPrefix + "x", broker.DeadPrefix + "y"}, "none": {broker.DeadPrefix + "w"}}
	read := func(r broker.Range, most int) (seen []broker.Leaf) {
		t.Helper()
		r.Stream = broker.StreamDead
		if err := broker.Browse(t.Context(), b.JS, r, func(l broker.Leaf) bool {
			seen = append(seen, l)
			return len(seen) < most
		}); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	whole := read(broker.Range{}, count+1)
	for name, want := range map[string]int{"all": count, "one": count / 2, "two": count * 3 / 4, "none": 0} {
		filtered := read(broker.Range{Subjects: subjects[name]}, count+1)
		if len(filtered) != want {
			t.Fatalf("%s: %d messages", name, len(filtered))
		}
		// From each of the first messages on, by time and by sequence, nothing is left out.
		for at := range 8 {
			var rest []broker.Leaf
			for _, l := range filtered {
				if l.Sequence >= whole[at].Sequence {
					rest = append(rest, l)
				}
			}
			if diff := cmp.Diff(rest, read(broker.Range{Subjects: subjects[name], Since: whole[at].StoredAt}, count+1)); diff != "" {
				t.Errorf("%s since the message %d:\n%.400s", name, at, diff)
			}
			if at == 0 {
				continue
			}
			if diff := cmp.Diff(rest, read(broker.Range{Subjects: subjects[name], After: whole[at-1].Sequence}, count+1)); diff != "" {
				t.Errorf("%s after the message %d:\n%.400s", name, at-1, diff)
			}
		}
	}
	if got := read(broker.Range{}, 3); len(got) != 3 || got[2].Bytes != len("body") || got[2].Header.Get("n") != "2" {
		t.Errorf("%+v", got)
	}
	if got := read(broker.Range{Since: time.Now().Add(time.Hour)}, 1); len(got) != 0 {
		t.Errorf("%+v of the future", got)
	}
	if n := b.Messages(broker.StreamDead); n != count {
		t.Errorf("%d are left", n)
	}
}
