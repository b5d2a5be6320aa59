package e2e

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
)

// TestAStopWaitsForNobodyWhoAskedNothing: browsers and HTTP clients open
// connections ahead of need; one that never sent a byte must not hold up a stop.
func TestAStopWaitsForNobodyWhoAskedNothing(t *testing.T) {
	t.Parallel()
	s := start(t, server.Parts{Embedder: scripted(t)})
	for range 3 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URLs()[0], "http://"))
		must(t, err)
		defer conn.Close()
	}
	newAPI(t, s.URLs()[0]).get("/livez").want(200)
	began := time.Now()
	s.Restart(t)
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("stopping and starting took %s", took)
	}
}

// TestAStopDoesNotWaitForAModelThatHangs: once the gateway has given up, nobody
// waits for the workers, and what they had in hand is done after the start.
func TestAStopDoesNotWaitForAModelThatHangs(t *testing.T) {
	t.Parallel()
	model := scriptllm.New(scriptllm.Sequence(
		scriptllm.Reply{Deltas: []string{"The"}, Hang: true},
		scriptllm.Reply{Deltas: scriptllm.Words("The lighthouse of Quellmar was built by the engineer Ottilie Brandt [1].")},
	))
	s := start(t, server.Parts{Embedder: scripted(t), Model: model}, "RAGBUS_SHUTDOWN_GRACE", "500ms", "RAGBUS_CHAT_STORAGE", "file")
	a := newAPI(t, s.URLs()[0])
	a.indexed("model-facts", facts, "title", "Quellmar")
	begun := a.do(http.MethodPost, "/v1/chat", map[string]any{"question": "Who built the lighthouse of Quellmar?", "background": true}).want(http.StatusAccepted)
	eventually(t, "the model is asked", func() bool { return model.Calls() == 1 })
	began := time.Now()
	s.Restart(t)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("stopping and starting took %s", took)
	}
	if r := newAPI(t, s.URLs()[0]).finished(decode[answer](begun).ID); r.Status != "completed" || model.Calls() != 2 {
		t.Errorf("after %d calls of the model the answer is %+v", model.Calls(), r)
	}
}
