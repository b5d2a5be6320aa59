package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
)

// TestReplicasOnBadDays kills what can be killed and stops what can be
// stopped, under load, with a model that takes its time.
func TestReplicasOnBadDays(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, "model")
	a := newAPI(t, r.URLs()[0])
	a.indexed("replicas-facts", facts, "collection", "replicas")
	t.Run("two gateways are one", func(t *testing.T) { twoGateways(t, r) })
	for _, service := range stack.Services() {
		t.Run("killed: "+service, func(t *testing.T) { killed(t, r, service) })
	}
	for _, p := range []part{
		{"vector_store", []string{broker.AccessIngestor, broker.AccessRetriever}, r.qdrant.stop, func(t *testing.T) { r.bringBack(t, r.qdrant) }, "/v1/search", map[string]any{"query": "lighthouse"}},
		{"database", stack.Services(), func(t *testing.T) { r.postgres.Crash(t) }, func(t *testing.T) { r.postgres.Restart(t) }, "/v1/chat", map[string]any{"question": "How tall is it?", "background": true}},
		{"broker", stack.Services(), r.nats.stop, func(t *testing.T) { r.bringBack(t, r.nats) }, "/v1/chat", map[string]any{"question": "How tall is it?", "background": true}},
		{"embedder", nil, r.embedder.stop, func(t *testing.T) { r.bringBack(t, r.embedder) }, "", nil},
		{"llm", nil, r.model.stop, func(t *testing.T) { r.bringBack(t, r.model) }, "", nil},
	} {
		t.Run("away: "+p.name, func(t *testing.T) { away(t, r, p) })
	}
	t.Run("consumers deleted", func(t *testing.T) { consumersGone(t, r) })
	r.obeyed(t)
	t.Run("refused starts", func(t *testing.T) { refusedStarts(t, r) })
}

// pace makes an emulator as slow as a real one.
func pace(t *testing.T, server *child, behaviour string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, strings.TrimSuffix(server.Probe, "/health")+"/behaviour", strings.NewReader(behaviour))
	must(t, err)
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("the %s refuses %s: %s", server.Name, behaviour, resp.Status)
	}
}

// twoGateways checks that it does not matter whom a client asks.
func twoGateways(t *testing.T, r *replicas) {
	t.Helper()
	one, two := newAPI(t, r.URLs()[0]), newAPI(t, r.URLs()[1])
	// Waited for at the other, by one who came before it was done.
	text := story("gatewayling", 3)
	one.upload("gatewayed", text, "collection", "gateways")
	if d := decode[document](two.get("/v1/documents/gatewayed?wait=60s").want(http.StatusOK)); d.Status != "indexed" {
		t.Errorf("at the other gateway the document is %+v", d)
	}
	whole(t, two.settled("gatewayed"), text, two.chunks("gatewayed"))
	// Begun at one, gone on with at the other while it is being written.
	pace(t, r.model, `{"first_token_ms":200,"tokens_per_second":20}`)
	defer pace(t, r.model, `{}`)
	request := map[string]any{"question": "When was the lighthouse of Quellmar built?", "collections": []string{"replicas"}, "stream": true}
	begun := one.events(http.MethodPost, "/v1/chat", request, 4)
	id := parse[struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}](t, begun[0].Data).ID
	if last := begun[len(begun)-1]; last.Name != "delta" {
		t.Errorf("the stream was left after %s", last.Name)
	}
	rest := two.events(http.MethodGet, "/v1/chat/"+id+"/stream", nil, 0, "Last-Event-ID", "4")
	first := wellFormed(t, append(begun, rest...))
	cited(two, first)
	if !strings.Contains(first.Answer, "1847") || first.Model == "" {
		t.Errorf("the answer is %+v", first)
	}
	same(t, "the chat at the first gateway", one.finished(id), first)
	pace(t, r.model, `{}`)
	// The conversation goes on at the other.
	next := two.ask(map[string]any{"question": "And how tall is it?", "collections": []string{"replicas"}, "conversation_id": first.ConversationID})
	if next.ConversationID != first.ConversationID || !strings.Contains(strings.ToLower(next.SearchQuery), "lighthouse") || !strings.Contains(next.Answer, "41 metres") {
		t.Errorf("the follow-up at the other gateway was searched as %q and answered %q", next.SearchQuery, next.Answer)
	}
	if n := decode[conversation](one.get("/v1/conversations/" + first.ConversationID).want(http.StatusOK)).Turns; n != 2 {
		t.Errorf("the conversation has %d turns", n)
	}
	// Cancelled at the other, while it is being written.
	pace(t, r.model, `{"first_token_ms":200,"tokens_per_second":5}`)
	request["background"], request["stream"] = true, false
	q := decode[answer](one.do(http.MethodPost, "/v1/chat", request).want(http.StatusAccepted))
	if ended := decode[answer](two.do(http.MethodDelete, "/v1/chat/"+q.ID, nil).want(http.StatusOK)); ended.Status != "cancelled" {
		t.Errorf("the chat cancelled at the other gateway is %q", ended.Status)
	}
}

// killed ends one replica of a service as a crash does, under load, and
// starts it again: nothing that was accepted is lost, and what the other
// replica can do is done meanwhile.
func killed(t *testing.T, r *replicas, service string) {
	t.Helper()
	pace(t, r.model, `{"first_token_ms":100,"tokens_per_second":100}`)
	defer pace(t, r.model, `{}`)
	// Of what a killed process was answering itself, some gets no answer.
	l := startLoad(t, r, "killed-"+service, service == broker.AccessIngestor || service == broker.AccessGenerator)
	l.accepted()
	victim := r.services[service][0]
	// Answers that are being written, as many as surely keep both replicas busy.
	one, two := newAPI(t, r.URLs()[0]), newAPI(t, r.URLs()[1])
	request := map[string]any{"question": "When was the lighthouse of Quellmar built?", "collections": []string{"replicas"}, "stream": true}
	pace(t, r.model, `{"first_token_ms":300,"tokens_per_second":10}`)
	var streams []*http.Response
	for range 6 {
		resp := two.open(http.MethodPost, "/v1/chat", request)
		defer resp.Body.Close()
		streams = append(streams, resp)
	}
	begun := one.events(http.MethodPost, "/v1/chat", request, 4)
	victim.kill()
	pace(t, r.model, `{"first_token_ms":100,"tokens_per_second":100}`)
	// What was begun at the gateway that may be dead goes on at the other.
	id := parse[struct {
		ID             string `json:"id"`
		ConversationID string `json:"conversation_id"`
	}](t, begun[0].Data).ID
	rest := two.events(http.MethodGet, "/v1/chat/"+id+"/stream", nil, 0, "Last-Event-ID", "4")
	answers := []answer{wellFormed(t, append(begun, rest...))}
	for _, resp := range streams {
		answers = append(answers, wellFormed(t, two.read(resp, 0)))
	}
	for _, r := range answers {
		cited(two, r)
		if !strings.Contains(r.Answer, "1847") {
			t.Errorf("a reader's answer is %+v", r)
		}
	}
	if service != broker.AccessGateway {
		l.accepted()
	}
	victim.launch(t)
	victim.ready(t)
	l.accepted()
	l.finish(newAPI(t, r.URLs()[1]))
}

// part is something that all replicas share.
type part struct {
	name string
	// users are the services whose readiness needs it.
	users       []string
	stop, start func(t *testing.T)
	// refuses is a path whose requests cannot be served without it; "" for none.
	refuses string
	request map[string]any
}

// away stops a part under load and starts it again.
func away(t *testing.T, r *replicas, p part) {
	t.Helper()
	l := startLoad(t, r, "away-"+strings.ReplaceAll(p.name, "_", "-"), false)
	l.accepted()
	p.stop(t)
	for _, service := range p.users {
		for _, c := range r.services[service] {
			eventually(t, c.Name+" says that "+p.name+" is away", func() bool {
				status, checks := c.checks(t)
				return status == http.StatusServiceUnavailable && strings.HasPrefix(checks[p.name], "unhealthy: ")
			})
		}
	}
	for _, at := range r.URLs() {
		a := newAPI(t, at)
		a.get("/livez").want(http.StatusOK)
		eventually(t, "health tells that "+p.name+" is away", func() bool {
			status, body := stack.Look(t.Context(), a.base+"/health", "")
			return status == http.StatusServiceUnavailable && bytes.Contains(body, []byte(`"`+p.name+`":"unhealthy: `))
		})
		if p.refuses == "" {
			continue
		}
		refused := a.do(http.MethodPost, p.refuses, p.request)
		var problem struct{ Code string }
		must(t, json.Unmarshal(refused.body, &problem))
		t.Logf("%s is away: %s says %d %s", p.name, p.refuses, refused.status, problem.Code)
		refused.problem(http.StatusServiceUnavailable, problem.Code)
	}
	if p.name == "vector_store" {
		// Who waits for an answer is told in time.
		a := newAPI(t, r.URLs()[0])
		a.do(http.MethodPost, "/v1/chat", map[string]any{"question": "When was the lighthouse of Quellmar built?"}).
			problem(http.StatusServiceUnavailable, "vector_store_unavailable")
	}
	if p.refuses != "/v1/chat" {
		l.accepted() // uploads and questions in the background need it later only
	}
	p.start(t)
	for _, c := range r.children()[4:] {
		c.ready(t)
	}
	l.accepted()
	l.finish(newAPI(t, r.URLs()[0]))
}
