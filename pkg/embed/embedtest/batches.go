package embedtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/fault"
)

func batches(t *testing.T, a Adapter) {
	e, server := a.stage(t, Setup{BatchTexts: 7, Concurrency: 4}, nil)
	s := suite{Embedder: e, caps: Caps{Tolerance: 1e-5}}
	texts := passages(60, 8)
	got := s.embed(t, embed.Passage, texts...)
	sent := 0
	for _, b := range server.Batches() {
		if len(b.Texts) > 7 {
			t.Errorf("a request has %d texts, want 7 at most", len(b.Texts))
		}
		sent += len(b.Texts)
	}
	if sent != len(texts) {
		t.Errorf("%d texts were sent, want %d", sent, len(texts))
	}
	for i, text := range texts {
		if !s.same(got[i], s.embed(t, embed.Passage, text)[0]) {
			t.Errorf("text %d has another text's vector", i)
		}
	}
}

func counted(t *testing.T, a Adapter) {
	e, server := a.stage(t, Setup{BatchTexts: 8}, nil)
	c, ok := e.(embed.Counter)
	if !ok {
		t.Fatal("the adapter does not count its requests")
	}
	if n := c.Requests(nil); n != 0 {
		t.Errorf("%d requests for no texts", n)
	}
	texts := passages(20, 8)
	suite{Embedder: e}.embed(t, embed.Passage, texts...)
	// An API may count each text as a request of its own.
	if n, made := c.Requests(texts), len(server.Batches()); n != made && n != len(texts) {
		t.Errorf("%d requests were counted and %d made", n, made)
	}
}

func bounded(t *testing.T, a Adapter) {
	var all sync.WaitGroup
	all.Add(3)
	e, server := a.stage(t, Setup{BatchTexts: 1, Concurrency: 3}, func(b emulator.Batch) emulator.Reply {
		if b.Call <= 3 {
			all.Done()
			all.Wait()
		}
		return emulator.Reply{}
	})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, err := e.Embed(t.Context(), embed.Passage, passages(12, 8)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := server.Widest(); n != 3 {
		t.Errorf("%d requests were under way at once, want 3", n)
	}
}

func lanes(t *testing.T, a Adapter) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	e, _ := a.stage(t, Setup{Concurrency: 1}, func(b emulator.Batch) emulator.Reply {
		if strings.HasPrefix(b.Texts[0], "Passage") {
			arrived <- struct{}{}
			<-release
		}
		return emulator.Reply{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := e.Embed(ctx, embed.Passage, passages(1, 8)); err != nil {
			t.Error(err)
		}
	})
	<-arrived
	if _, err := e.Embed(ctx, embed.Query, []string{"a question"}); err != nil {
		t.Errorf("a query while a passage is under way: %v", err)
	}
	close(release)
	group.Wait()
}

func together(t *testing.T, a Adapter) {
	var both sync.WaitGroup
	both.Add(2)
	e, server := a.stage(t, Setup{BatchTexts: 1, Concurrency: 2}, func(b emulator.Batch) emulator.Reply {
		both.Done()
		both.Wait()
		if b.Texts[0] == "bad" {
			return emulator.Reply{Failure: emulator.ServerError}
		}
		return emulator.Reply{Failure: emulator.Silent}
	})
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	vectors, err := e.Embed(ctx, embed.Passage, []string{"good", "bad"})
	if code, _ := fault.Public(err); code != "embedder_unavailable" || vectors != nil || errors.Is(err, context.Canceled) {
		t.Errorf("%d vectors and error %v, want the failed batch's", len(vectors), err)
	}
	await(t, server)
}

func await(t *testing.T, server *emulator.Server) {
	t.Helper()
	if !closes(server, wait) {
		t.Error("the service never saw the connection closed")
	}
}

// closes reports whether the service sees a connection closed within the time.
func closes(server *emulator.Server, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-server.Closed():
		return true
	case <-timer.C:
		return false
	}
}
