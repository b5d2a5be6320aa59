package gateway

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/reply"
)

// awayChats is a record that takes no answers while it is away.
type awayChats struct {
	conversation.Store
	away atomic.Bool
}

func (c *awayChats) Finish(ctx context.Context, who conversation.Caller, a conversation.Answer) (conversation.Answer, error) {
	if c.away.Load() {
		return conversation.Answer{}, fault.Transientf("database_unreachable", "the database cannot be reached; try again").Away()
	}
	return c.Store.Finish(ctx, who, a)
}

// An error is the end of a stream, so it is told only when it is on record: who
// cannot know how a chat ended sends the reader to come back.
func TestAStreamWhoseEndIsNotOnRecordGoesOn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(func(w *work) {
		w.sources("p1")
		if w.ask.Question == "Failed?" {
			must(t, w.writer(reply.Generate, 1).Error(conversation.Problem{Code: "model_unavailable", Message: "the model is away"}))
		}
	})
	for question, code := range map[string]string{"Late?": "deadline_exceeded", "Failed?": "model_unavailable"} {
		chats := &awayChats{Store: s.chats}
		g := s.serve(func(_ *Config, d *Deps) { d.Conversations = chats })
		chats.away.Store(true)
		r := g.open(http.MethodPost, "/v1/chat", `{"question":"`+question+`","stream":true,"deadline_ms":1000}`, nil)
		events := r.rest()
		if got := names(events); got != "started,sources" || r.retry == "" {
			t.Fatalf("%s: %s, retry %q", question, got, r.retry)
		}
		chats.away.Store(false)
		after := g.reopen(startedID(t, events[0]), len(events)).rest()
		if names(after) != "error" || after[0].id != len(events)+1 || !strings.Contains(after[0].data, code) {
			t.Errorf("%s: %v", question, after)
		}
	}
}

// goneChats is a record that has forgotten every chat.
type goneChats struct{ conversation.Store }

func (goneChats) Finish(context.Context, conversation.Caller, conversation.Answer) (conversation.Answer, error) {
	return conversation.Answer{}, fault.NotFoundf("chat_not_found", "there is no such chat")
}

func TestAStreamOfADeletedChatEnds(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(_ *Config, d *Deps) { d.Conversations = goneChats{s.chats} })
	events := g.open(http.MethodPost, "/v1/chat", `{"question":"Late?","stream":true,"deadline_ms":1000}`, nil).rest()
	if names(events) != "started,error" || !strings.Contains(events[1].data, "chat_not_found") {
		t.Error(events)
	}
}
