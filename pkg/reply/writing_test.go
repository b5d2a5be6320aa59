package reply_test

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/reply"
)

func TestWhoWritesSaysSo(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	here, there := reply.NewWriting(b.Connect().NATS()), reply.NewWriting(b.Connect().NATS())
	for _, w := range []*reply.Writing{here, there, there} {
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	once, twice := there.Begin("r1"), there.Begin("r1")
	for name, w := range map[string]*reply.Writing{"another process": here, "the same one": there} {
		if !w.Underway(t.Context(), "r1") || w.Underway(t.Context(), "r2") || w.Underway(t.Context(), "r.*") {
			t.Errorf("asked by %s: not told, or too much", name)
		}
	}
	once()
	if !here.Underway(t.Context(), "r1") {
		t.Error("one of two writers has ended, and nobody writes")
	}
	twice()
	if here.Underway(t.Context(), "r1") || there.Underway(t.Context(), "r1") {
		t.Error("both writers have ended, and somebody writes")
	}
	defer there.Begin("r1")()
	for _, w := range []*reply.Writing{there, there, here} {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if here.Underway(t.Context(), "r1") {
		t.Error("one that is closed was heard")
	}
}
