package worker_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/worker"
	"github.com/ragbus/ragbus/pkg/worker/workertest"
)

func TestHandleShowsWhatAWorkerWouldDo(t *testing.T) {
	t.Parallel()
	route := worker.Handle(func(_ context.Context, d worker.Delivery[event.ChatAsked]) (events, error) {
		switch d.Data.Question {
		case "good":
			return events{d.Follow(event.ChatRetrieved{Asked: d.Data})}, nil
		case "bad":
			return nil, fault.Permanentf("bad", "bad question")
		}
		return nil, errors.New("shaken")
	}).Buried(func(_ context.Context, d worker.Delivery[event.ChatAsked], b worker.Burial) (events, error) {
		return events{event.New(d.Event.Tenant, time.Now(), event.ChatAnswered{ID: d.Data.ID, Status: "failed", Reason: b.Code})}, nil
	})
	ask := func(question string) event.Event {
		e := event.New("t", time.Now(), event.ChatAsked{ID: "id", ConversationID: "c", Question: question})
		e.ReplyTo, e.Deadline = "rag.answer.v1.gw.id", time.Now().Add(time.Minute)
		return e
	}
	good := workertest.Handle(t, route, ask("good"))
	if good.Verdict.Action != worker.Done || len(good.Events) != 1 || good.Events[0].Kind() != event.KindChatRetrieved {
		t.Fatalf("%+v", good)
	}
	if next := good.Events[0]; next.ReplyTo != "rag.answer.v1.gw.id" || next.Deadline.IsZero() || next.Tenant != "t" {
		t.Errorf("%+v", next)
	}
	bad := workertest.Handle(t, route, ask("bad"))
	if bad.Verdict.Action != worker.Bury || bad.Burial == nil || bad.Burial.Code != "bad" || len(bad.Events) != 1 {
		t.Errorf("%+v", bad)
	}
	if shaken := workertest.Handle(t, route, ask("hm")); shaken.Verdict.Action != worker.Retry || shaken.Burial != nil {
		t.Errorf("%+v", shaken)
	}
	spent := worker.Try(t.Context(), route, ask("good"), worker.Config{MaxAttempts: 2}, 3)
	if spent.Verdict.Action != worker.Bury || spent.Burial.Code != "attempts_exhausted" {
		t.Errorf("%+v", spent)
	}
	if invalid := workertest.Handle(t, route, ask("")); invalid.Verdict.Action != worker.Bury {
		t.Errorf("%+v", invalid)
	}
}
