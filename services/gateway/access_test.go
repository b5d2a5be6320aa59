package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
)

// busSecret is what every gateway of the tests signs with.
func busSecret() string { return strings.Repeat("s", access.MinSecret) }

// withKeys makes a gateway ask for the keys in the stack's database.
func (s *stack) withKeys() tweak {
	signer, err := access.NewSigner(busSecret())
	must(s.t, err)
	return func(c *Config, d *Deps) {
		c.Auth = access.AuthKeys
		d.Callers, d.Ledger, d.Signer = access.NewKeyring(s.keys, d.Log, d.Now), s.keys, signer
	}
}

// key issues a key and returns it as a header of requests.
func (s *stack) key(k access.Key) header {
	s.t.Helper()
	k.Name = "test"
	if k.Tenant == "" {
		k.Tenant = corpus.DefaultTenant
	}
	if k.Scopes == 0 {
		k.Scopes = access.NewScopes(access.AllScopes()...)
	}
	k, digest, bearer, err := access.Issue(k, time.Now())
	must(s.t, err)
	must(s.t, s.keys.Create(s.t.Context(), k, digest))
	return header{"Authorization": "Bearer " + bearer}
}

// pathOf fills in the id of a route's path.
func (rt route) pathOf(id string) string { return strings.ReplaceAll(rt.path, ":id", id) }

func TestEveryRouteSaysWhoMayAndWhoseItIs(t *testing.T) {
	t.Parallel()
	for _, rt := range routes() {
		switch rt.scope {
		case public:
			if rt.bound != ofNobody || rt.action != "" {
				t.Errorf("%s %s is public and touches what is somebody's", rt.method, rt.path)
			}
		case access.Chat, access.DocumentsRead, access.DocumentsWrite, access.Events, access.Admin:
			if rt.bound == ofNobody && rt.path != "/metrics" || rt.bound != ofNobody && rt.bound != ofTenant && rt.bound != ofOwner {
				t.Errorf("%s %s is bound to nobody", rt.method, rt.path)
			}
		default:
			t.Errorf("%s %s has the scope %q", rt.method, rt.path, rt.scope)
		}
		if strings.HasPrefix(rt.path, "/v1/") && rt.scope == public {
			t.Errorf("%s %s is public", rt.method, rt.path)
		}
	}
}

// TestEveryRouteAsksForItsScope goes over the route table without a
// credential, with ones that are none, and with a key of every scope that does not do.
func TestEveryRouteAsksForItsScope(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(s.withKeys())
	revoked := s.key(access.Key{})
	id, _, _ := strings.Cut(strings.TrimPrefix(revoked["Authorization"], "Bearer rb_"), "_")
	if _, err := s.keys.Revoke(t.Context(), "", id); err != nil {
		t.Fatal(err)
	}
	good := s.key(access.Key{})["Authorization"]
	for _, rt := range routes() {
		method, path := rt.method, rt.pathOf("x")
		if rt.scope == public {
			if got := g.do(method, path, nil, nil); got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
				t.Errorf("%s %s: %d for a stranger", method, path, got.status)
			}
			continue
		}
		for name, c := range map[string]struct{ credential, code string }{
			"nothing":          {"", "unauthenticated"},
			"no scheme":        {strings.TrimPrefix(good, "Bearer "), "unauthenticated"},
			"another scheme":   {"Basic " + strings.TrimPrefix(good, "Bearer "), "unauthenticated"},
			"nonsense":         {"Bearer nonsense", "unauthenticated"},
			"another's secret": {good[:len(good)-4] + "aaaa", "unauthenticated"},
			"cut short":        {good[:len(good)-1], "unauthenticated"},
			"revoked":          {revoked["Authorization"], "key_revoked"},
		} {
			h := header{}
			if c.credential != "" {
				h["Authorization"] = c.credential
			}
			got := g.do(method, path, nil, h)
			got.problem(t, http.StatusUnauthorized, c.code)
			challenge := got.header.Get("WWW-Authenticate")
			if !strings.HasPrefix(challenge, "Bearer ") || strings.Contains(challenge, "invalid_token") != (c.credential != "") {
				t.Errorf("%s: challenge %q", name, challenge)
			}
		}
		for _, held := range access.AllScopes() {
			got := g.do(method, path, nil, s.key(access.Key{Scopes: access.NewScopes(held)}))
			if may := access.NewScopes(held).Allow(rt.scope); may != (got.status != http.StatusForbidden) || got.status == http.StatusUnauthorized {
				t.Errorf("%s %s: %d with the scope %s", method, path, got.status, held)
			} else if !may {
				p := got.problem(t, http.StatusForbidden, "missing_scope")
				if !strings.Contains(p.Detail, string(rt.scope)) || !strings.Contains(got.header.Get("WWW-Authenticate"), `scope="`+string(rt.scope)+`"`) {
					t.Errorf("%s %s does not say which scope is missing: %s", method, path, got.body)
				}
			}
		}
	}
	// A credential is looked for in its header and nowhere else.
	g.get("/v1/documents?access_token="+strings.TrimPrefix(good, "Bearer ")).problem(t, http.StatusUnauthorized, "unauthenticated")
	g.do(http.MethodGet, "/v1/documents", nil, header{"Cookie": "access_token=" + good}).problem(t, http.StatusUnauthorized, "unauthenticated")
}

func TestStrangersAreNotToldWhatTheSystemIsMadeOf(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(s.withKeys())
	chat := s.key(access.Key{Scopes: access.NewScopes(access.Chat)})
	for _, path := range []string{"/health", "/readyz"} {
		if got := g.get(path); strings.Contains(string(got.body), "database") || !strings.Contains(string(got.body), `"status"`) {
			t.Errorf("%s tells a stranger %s", path, got.body)
		}
		if got := g.do(http.MethodGet, path, nil, chat); !strings.Contains(string(got.body), `"database":"healthy"`) {
			t.Errorf("%s tells a caller %s", path, got.body)
		}
		if got := g.do(http.MethodGet, path, nil, header{"Authorization": "Bearer x"}); strings.Contains(string(got.body), "database") {
			t.Errorf("%s tells who is not known %s", path, got.body)
		}
		g.do(http.MethodGet, path, nil, chat).conforms(t, "GET", path)
		g.get(path).conforms(t, "GET", path)
	}
}

func TestRequestsAMinuteAreLimitedByKey(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(s.withKeys())
	few, other := s.key(access.Key{Limits: access.Limits{RequestsPerMinute: 3}}), s.key(access.Key{})
	for n := range 3 {
		got := g.do(http.MethodGet, "/v1/documents", nil, few)
		if got.status != http.StatusOK || got.header.Get(headerRateLimit) != "3" || got.header.Get(headerRateRemaining) != strconv.Itoa(2-n) || got.header.Get(headerRateReset) == "" {
			t.Fatalf("%d: %d %v", n, got.status, got.header)
		}
	}
	got := g.do(http.MethodGet, "/v1/conversations", nil, few)
	p := got.problem(t, http.StatusTooManyRequests, "rate_limited")
	// 3 a minute: the next one in 20 s at most.
	if p.RetryAfterS < 1 || p.RetryAfterS > 20 || got.header.Get("Retry-After") != strconv.Itoa(p.RetryAfterS) || got.header.Get(headerRateRemaining) != "0" {
		t.Fatalf("%+v %v", p, got.header)
	}
	if got := g.do(http.MethodGet, "/v1/documents", nil, other); got.status != http.StatusOK || got.header.Get(headerRateLimit) != "" {
		t.Fatalf("%d %v", got.status, got.header)
	}
}

func TestSpentTokensRefuseQuestionsAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Yes."))
	g := s.serve(s.withKeys())
	h := s.key(access.Key{Limits: access.Limits{TokensPerDay: 100}})
	if got := g.postJSON("/v1/chat", `{"question":"First?"}`, h); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(h["Authorization"], "Bearer rb_"), "_")
	must(t, s.keys.Charge(t.Context(), access.Charge{Tenant: corpus.DefaultTenant, Account: id, Request: "c1", Tokens: 100, At: time.Now()}))
	// What was spent is remembered for a moment by whoever checks.
	eventually(t, "the quota is used up", func() bool {
		return g.postJSON("/v1/chat", `{"question":"Second?"}`, h).status == http.StatusTooManyRequests
	})
	p := g.postJSON("/v1/chat", `{"question":"Third?","background":true}`, h).problem(t, http.StatusTooManyRequests, "token_quota_exceeded")
	if p.RetryAfterS < 1 || p.RetryAfterS > 24*60*60 {
		t.Fatalf("%+v", p)
	}
	if got := g.do(http.MethodGet, "/v1/conversations", nil, h); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
}

// awayKeys is a record of keys that can be taken away.
type awayKeys struct {
	access.Keys
	away atomic.Bool
}

func (k *awayKeys) Find(ctx context.Context, id string) (access.Key, access.Digest, error) {
	if k.away.Load() {
		return access.Key{}, access.Digest{}, errors.New("away")
	}
	return k.Keys.Find(ctx, id)
}

func TestARecordOfKeysThatIsAwayIs503(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	record := &awayKeys{Keys: s.keys}
	g := s.serve(s.withKeys(), func(_ *Config, d *Deps) { d.Callers = access.NewKeyring(record, d.Log, nil) })
	h := s.key(access.Key{})
	record.away.Store(true)
	got := g.do(http.MethodGet, "/v1/documents", nil, h)
	got.problem(t, http.StatusServiceUnavailable, "access_unavailable")
	if got.header.Get("Retry-After") == "" || got.header.Get("WWW-Authenticate") != "" {
		t.Fatalf("%v", got.header)
	}
	record.away.Store(false)
	if got := g.do(http.MethodGet, "/v1/documents", nil, h); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
}

// TestQuestionsAndSearchesAreSignedForTheirAsker verifies what workers get,
// with the secret and with another.
func TestQuestionsAndSearchesAreSignedForTheirAsker(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	signer, err := access.NewSigner(busSecret())
	must(t, err)
	other, err := access.NewSigner(strings.Repeat("x", access.MinSecret))
	must(t, err)
	var mu sync.Mutex
	var asked []event.ChatAsked
	s.workers(func(w *work) {
		if err := signer.VerifyAsked(w.event, w.ask); err != nil || other.VerifyAsked(w.event, w.ask) == nil {
			t.Errorf("question: %v", err)
		}
		forged := w.ask
		forged.Principals = append(slices.Clone(forged.Principals), "group:board")
		if signer.VerifyAsked(w.event, forged) == nil {
			t.Error("a principal can be added")
		}
		mu.Lock()
		asked = append(asked, w.ask)
		mu.Unlock()
		complete("Yes.")(w)
	})
	s.retriever(func(q event.Search) event.SearchResult {
		if err := signer.VerifySearch(q); err != nil || other.VerifySearch(q) == nil {
			t.Errorf("search: %v", err)
		}
		if q.Tenant != "acme" || !slices.Equal(q.Principals, []string{"group:staff"}) {
			t.Errorf("search of %s as %v", q.Tenant, q.Principals)
		}
		return event.SearchResult{}
	})
	g := s.serve(s.withKeys())
	h := s.key(access.Key{Tenant: "acme", Owner: "ann", Principals: []string{"group:staff"}})
	for _, body := range []string{`{"question":"Why?","filter":{"metadata.year":{"gte":2020}}}`, `{"question":"Why?","stream":true}`} {
		if got := g.postJSON("/v1/chat", body, h); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := g.postJSON("/v1/search", `{"query":"q"}`, h); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, a := range asked {
		if a.Owner != "ann" || a.Account == "" || !slices.Equal(a.Principals, []string{"group:staff"}) {
			t.Errorf("asked %+v", a)
		}
	}
	if len(asked) != 2 {
		t.Fatalf("%d questions", len(asked))
	}
}

func TestATenantLeavesSlotsForOthers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	release := make(chan struct{})
	s.workers(func(w *work) {
		if w.event.Tenant == "greedy" {
			<-release
		}
		complete("Yes.")(w)
	})
	g := s.serve(s.withKeys(), func(c *Config, _ *Deps) { c.MaxChats = 4 })
	greedy, modest := s.key(access.Key{Tenant: "greedy"}), s.key(access.Key{Tenant: "modest"})
	var waiting sync.WaitGroup
	for range 2 {
		waiting.Go(func() {
			if got := g.postJSON("/v1/chat", `{"question":"Slow?"}`, greedy); got.status != http.StatusOK {
				t.Errorf("%d %s", got.status, got.body)
			}
		})
	}
	eventually(t, "two wait", func() bool { return g.svc.chats.inUse() == 2 })
	p := g.postJSON("/v1/chat", `{"question":"One more?"}`, greedy).problem(t, http.StatusTooManyRequests, "tenant_share_used")
	if p.RetryAfterS != 1 {
		t.Errorf("%+v", p)
	}
	if got := g.postJSON("/v1/chat", `{"question":"Fast?"}`, modest); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	close(release)
	waiting.Wait()
	if n := g.svc.chats.inUse(); n != 0 || len(g.svc.chats.tenant) != 0 {
		t.Errorf("%d slots are lost", n)
	}
}

func TestGatewaysTellEachOtherWhatTheyLetThrough(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	one, two := s.serve(s.withKeys()), s.serve(s.withKeys())
	h := s.key(access.Key{Limits: access.Limits{RequestsPerMinute: 5}})
	heard := make(chan *nats.Msg, 16)
	sub, err := s.bus.NATS.ChanSubscribe(access.LimitsSubject, heard)
	must(t, err)
	must(t, s.bus.NATS.Flush())
	defer func() { _ = sub.Unsubscribe() }()
	for range 5 {
		if got := one.do(http.MethodGet, "/v1/documents", nil, h); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	select {
	case <-heard:
	case <-time.After(patience):
		t.Fatal("nothing is told")
	}
	eventually(t, "the other knows", func() bool {
		return two.svc.limiter.Take(access.Identity{Account: keyID(h), Limits: access.Limits{RequestsPerMinute: 5}}).RetryAfter > 0
	})
}

func keyID(h header) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(h["Authorization"], "Bearer rb_"), "_")
	return id
}

// TestIdempotencyKeysAreTheirOwners asks and uploads under one key as three owners.
func TestIdempotencyKeysAreTheirOwners(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	asked := s.workers(complete("Yes."))
	g := s.serve(s.withKeys())
	chats, documents := map[string]bool{}, map[string]bool{}
	for _, k := range []access.Key{{Tenant: "t1", Owner: "ann"}, {Tenant: "t1", Owner: "bob"}, {Tenant: "t2", Owner: "ann"}} {
		h := s.key(k)
		h["Idempotency-Key"] = "the-same"
		var c conversation.Answer
		for range 2 {
			g.postJSON("/v1/chat", `{"question":"Why?"}`, h).decode(t, &c)
			chats[c.ID] = true
			var d document
			g.postJSON("/v1/documents", `{"text":"of `+k.Tenant+k.Owner+`"}`, h).decode(t, &d)
			documents[d.ID] = true
		}
	}
	if len(chats) != 3 || len(documents) != 3 || asked.Load() != 3 {
		t.Fatalf("%d chats, %d documents, %d questions", len(chats), len(documents), asked.Load())
	}
}

// TestAnUploadReplacesOnlyWhatItsSenderSees covers the ids that are chosen and those that are derived.
func TestAnUploadReplacesOnlyWhatItsSenderSees(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(s.withKeys())
	board, staff := s.key(access.Key{Principals: []string{"group:board"}}), s.key(access.Key{Owner: "staff", Principals: []string{"group:staff"}})
	secret := g.postJSON("/v1/documents", `{"text":"the merger","id":"plan","acl":["group:board"],"title":"Merger"}`, board).document(t, http.StatusAccepted)
	sourced := g.postJSON("/v1/documents", `{"text":"the merger","source":"https://example.com/plan","acl":["group:board"]}`, board).document(t, http.StatusAccepted)
	byBytes := g.postJSON("/v1/documents", `{"text":"guess me","acl":["group:board"]}`, board).document(t, http.StatusAccepted)

	g.postJSON("/v1/documents", `{"text":"mine now","id":"plan"}`, staff).problem(t, http.StatusConflict, "id_taken")
	g.postJSON("/v1/documents", `{"text":"the merger","id":"plan"}`, staff).problem(t, http.StatusConflict, "id_taken")
	for _, body := range []string{`{"text":"mine now","source":"https://example.com/plan"}`, `{"text":"guess me"}`} {
		own := g.postJSON("/v1/documents", body, staff).document(t, http.StatusAccepted)
		if own.ID == sourced.ID || own.ID == byBytes.ID {
			t.Errorf("%s replaced what its sender cannot see", body)
		}
		if again := g.postJSON("/v1/documents", body, staff).document(t, http.StatusOK); again.ID != own.ID {
			t.Errorf("%s again is another document", body)
		}
	}
	for _, before := range []document{secret, sourced, byBytes} {
		var now document
		g.do(http.MethodGet, "/v1/documents/"+before.ID, nil, board).decode(t, &now)
		if now.SHA256 != before.SHA256 || now.UpdatedAt != before.UpdatedAt {
			t.Errorf("%s was changed", before.ID)
		}
	}
	// A pipeline that is no reader feeds those whom it names.
	feed := s.key(access.Key{Owner: "feed", Scopes: access.NewScopes(access.DocumentsWrite)})
	if d := g.postJSON("/v1/documents", `{"text":"the merger, signed","id":"plan","acl":["group:board"]}`, feed).document(t, http.StatusAccepted); d.ID != "plan" {
		t.Errorf("%+v", d)
	}
	g.do(http.MethodGet, "/v1/documents/plan", nil, feed).problem(t, http.StatusNotFound, "document_not_found")
}
