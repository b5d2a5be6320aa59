package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/config"
)

// consumersGone deletes, on the server, what the workers take their work
// from: their programs say that they are not ready, what is accepted
// meanwhile waits, and all goes on as soon as an operator applies the topology.
func consumersGone(t *testing.T, r *replicas) {
	t.Helper()
	conn, err := broker.Connect(t.Context(), broker.Config{URL: config.URL(r.natsURL(stack.AdminName))})
	must(t, err)
	defer func() { must(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	workers := []string{broker.AccessIngestor, broker.AccessRetriever, broker.AccessGenerator}
	for _, c := range [][2]string{
		{broker.StreamIngest, broker.ConsumerIngestorEmbed}, {broker.StreamChat, broker.ConsumerRetriever}, {broker.StreamChat, broker.ConsumerGenerator},
	} {
		must(t, conn.JetStream().DeleteConsumer(t.Context(), c[0], c[1]))
	}
	for _, service := range workers {
		for _, c := range r.services[service] {
			eventually(t, c.Name+" says that it gets no work", func() bool {
				status, checks := c.checks(t)
				return status == http.StatusServiceUnavailable && strings.HasPrefix(checks["worker"], "unhealthy: ")
			})
		}
	}
	a := newAPI(t, r.URLs()[0])
	const text = "The harbour of Tolvane has nineteen berths."
	a.upload("berths", text, "collection", "berths")
	q := decode[answer](a.do(http.MethodPost, "/v1/chat", map[string]any{
		"question": "When was the lighthouse of Quellmar built?", "collections": []string{"replicas"}, "background": true,
	}).want(http.StatusAccepted))
	r.applyTopology(t)
	for _, service := range workers {
		for _, c := range r.services[service] {
			c.ready(t)
		}
	}
	whole(t, a.settled("berths"), text, a.chunks("berths"))
	if done := a.finished(q.ID); !strings.Contains(done.Answer, "1847") {
		t.Errorf("the question that waited is answered: %+v", done)
	}
}
