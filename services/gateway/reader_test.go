package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/conversation"
)

func TestTheWorkOfAnAskerWhoHungUpIsCancelled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	asked := make(chan string, 1)
	s.workers(func(w *work) { asked <- w.ask.ID })
	g := s.serve()
	ctx, hangUp := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/v1/chat", strings.NewReader(`{"question":"Why?"}`))
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if resp, err := g.http.Do(req); err == nil {
			resp.Body.Close()
			t.Error("an answer came")
		}
	}()
	id := <-asked
	hangUp()
	<-ended
	eventually(t, "cancelled", func() bool { return g.status(id) == conversation.Cancelled })
}
