package e2e

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
)

// withModel starts a server whose answers a script writes, with a document to ask about.
func withModel(t *testing.T, script scriptllm.Script, vars ...string) (api, *scriptllm.Model) {
	t.Helper()
	model := scriptllm.New(script)
	s := start(t, server.Parts{Embedder: scripted(t), Model: model}, vars...)
	a := newAPI(t, s.URLs()[0])
	a.indexed("model-facts", facts, "title", "Quellmar")
	return a, model
}

func TestAModelsAnswerIsChecked(t *testing.T) {
	t.Parallel()
	a, model := withModel(t, scriptllm.Say("The lighthouse of Quellmar was built in 1847 by the engineer Ottilie Brandt [1]. It is painted purple [7]."))
	request := map[string]any{"question": "Who built the lighthouse of Quellmar?"}
	r := a.ask(request, "Idempotency-Key", "paid-once")
	cited(a, r)
	if !r.Grounded || strings.Contains(r.Answer, "[7]") || len(r.Citations) == 0 || !r.Citations[0].Supported || r.Model != "script" || r.Usage["total_tokens"] == 0 {
		t.Errorf("the answer is %+v", r)
	}
	for range 3 {
		same(t, "an answer paid once", a.ask(request, "Idempotency-Key", "paid-once"), r)
	}
	if n := model.Calls(); n != 1 {
		t.Errorf("the model was paid %d times", n)
	}
	streamed := wellFormed(t, a.events(http.MethodPost, "/v1/chat", map[string]any{"question": "Who was Ottilie Brandt?", "stream": true}, 0))
	cited(a, streamed)
}

func TestCancellingStopsTheModel(t *testing.T) {
	t.Parallel()
	a, model := withModel(t, func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"The lighthouse ", "was never described"}, After: 1, Hang: true}
	})
	begun := a.do(http.MethodPost, "/v1/chat", map[string]any{"question": "Who built the lighthouse of Quellmar?", "background": true}).want(http.StatusAccepted)
	id := decode[answer](begun).ID
	eventually(t, "the model writes", func() bool { return model.Calls() == 1 })
	before := a.events(http.MethodGet, "/v1/chat/"+id+"/stream", nil, 2)
	began := time.Now()
	ended := decode[answer](a.do(http.MethodDelete, "/v1/chat/"+id, nil).want(http.StatusOK))
	if ended.Status != "cancelled" {
		t.Errorf("the chat is %q", ended.Status)
	}
	eventually(t, "the model is left", func() bool { return model.Closed() == 1 })
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("cancelling took %s", took)
	}
	same(t, "the cancelled chat", a.finished(id), ended)
	after := a.events(http.MethodGet, "/v1/chat/"+id+"/stream", nil, 0, "Last-Event-ID", strconv.Itoa(before[len(before)-1].ID))
	if last := after[len(after)-1]; last.Name != "done" || parse[answer](t, last.Data).Status != "cancelled" {
		t.Errorf("the stream of the cancelled chat ends with %+v", last)
	}
}

func TestAReaderWhoLeavesStopsTheModel(t *testing.T) {
	t.Parallel()
	a, model := withModel(t, func(llm.Request) scriptllm.Reply {
		return scriptllm.Reply{Deltas: []string{"The ", "lighthouse"}, After: 1, Hang: true}
	}, "RAGBUS_READER_GRACE", "200ms")
	begun := a.events(http.MethodPost, "/v1/chat", map[string]any{"question": "Who built the lighthouse of Quellmar?", "stream": true}, 1)
	id := parse[struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}](t, begun[0].Data).ID
	if r := a.finished(id); r.Status != "cancelled" {
		t.Errorf("the chat that nobody reads is %q", r.Status)
	}
	eventually(t, "the model is left", func() bool { return model.Closed() == model.Calls() })
}

func TestAQuestionPastItsDeadlineEnds(t *testing.T) {
	t.Parallel()
	a, _ := withModel(t, func(llm.Request) scriptllm.Reply { return scriptllm.Reply{Deltas: []string{"The"}, Hang: true} })
	began := time.Now()
	a.do(http.MethodPost, "/v1/chat", map[string]any{"question": "Who built the lighthouse of Quellmar?", "deadline_ms": 1000}).
		problem(http.StatusGatewayTimeout, "deadline_exceeded")
	if took := time.Since(began); took < time.Second || took > 20*time.Second {
		t.Errorf("the deadline of 1 s took %s", took)
	}
}

// TestAnAttemptThatFailsStartsOver: the reader is told to forget the half answer.
func TestAnAttemptThatFailsStartsOver(t *testing.T) {
	t.Parallel()
	whole := scriptllm.Words("The lighthouse of Quellmar was built in 1847 by the engineer Ottilie Brandt [1].")
	a, model := withModel(t, scriptllm.Sequence(
		scriptllm.Reply{Deltas: whole, After: 4, Err: fault.Transientf("model_broke", "the connection broke")},
		scriptllm.Reply{Deltas: whole},
	))
	events := a.events(http.MethodPost, "/v1/chat", map[string]any{"question": "Who built the lighthouse of Quellmar?", "stream": true}, 0)
	r := wellFormed(t, events)
	cited(a, r)
	if !r.Grounded || !strings.Contains(r.Answer, "Ottilie Brandt") || model.Calls() != 2 {
		t.Errorf("after %d attempts the answer is %+v", model.Calls(), r)
	}
}
