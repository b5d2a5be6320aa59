package access

import (
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag

func signerOf(tb testing.TB, secrets ...string) *Signer {
	tb.Helper()
	s, err := NewSigner(secrets...)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// question is a question with everything in it.
func question() event.Event {
	e := event.New("acme", epoch(), event.ChatAsked{
		ID: "chat1", ConversationID: "conv1", Owner: "user:ann", Account: "key1", Principals: []string{"group:a", "group:b"},
		Question: "Wie hoch ist die Kaution? <b>&\u2028", Collections: []string{"handbook"},
		Filter: corpus.Filter{
			{Key: "lang", AnyOf: []any{"de", 1.5, true}}, {Key: "year", GTE: new(2020.0)}, {Key: "zone", LTE: new(-0.5)},
		},
		Followup: true, Stream: true, AskedAt: epoch(),
	})
	e.ReplyTo, e.Deadline = "rag.answer.v1.gw.chat1", epoch().Add(time.Minute)
	return e
}

func askedOf(tb testing.TB, e event.Event) event.ChatAsked {
	tb.Helper()
	asked, ok := e.Data.(event.ChatAsked)
	if !ok {
		tb.Fatalf("a %T", e.Data)
	}
	return asked
}

func aSearch() event.Search {
	return event.Search{
		Tenant: "acme", Principals: []string{"group:a"}, Query: "Kaution", Limit: 8, Collections: []string{"handbook"},
		Filter: corpus.Filter{{Key: "lang", AnyOf: []any{"de"}}}, Mode: "hybrid", Deadline: epoch().Add(10 * time.Second),
	}
}

// TestTheEncodingAndItsSignatureStayAsTheyAre: gateways and workers of
// different versions run beside each other.
func TestTheEncodingAndItsSignatureStayAsTheyAre(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	e := s.Sign(question())
	bare := s.Sign(event.New("t", epoch(), event.ChatAsked{ID: "a", ConversationID: "c", Question: "q"}))
	q := s.SignSearch(aSearch())
	retrieved := retrievedOf(t, s.Sign(found(t, e)))
	for name, v := range map[string][2]string{
		"asked":      {hex.EncodeToString(encodeAsked(e, askedOf(t, e))), askedOf(t, e).Signature},
		"asked_bare": {hex.EncodeToString(encodeAsked(bare, askedOf(t, bare))), askedOf(t, bare).Signature},
		"search":     {hex.EncodeToString(encodeSearch(q)), q.Signature},
		"retrieved":  {hex.EncodeToString(encodeRetrieved(retrieved)), retrieved.Signature},
	} {
		got := v[0] + "\n" + v[1] + "\n"
		path := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// wire returns the event as its reader decodes it.
func wire(tb testing.TB, e event.Event) event.Event {
	tb.Helper()
	m, err := event.Encode(e)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := event.Decode(m)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestASignatureHoldsOnTheWayToTheGenerator(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	at := wire(t, s.Sign(question()))
	if err := s.VerifyAsked(at, askedOf(t, at)); err != nil {
		t.Fatalf("at the retriever: %v", err)
	}
	next := event.New(at.Tenant, epoch().Add(time.Second), event.ChatRetrieved{Asked: askedOf(t, at), SearchQuery: "q"})
	next.ReplyTo, next.Deadline = at.ReplyTo, at.Deadline
	at = wire(t, next)
	retrieved, ok := at.Data.(event.ChatRetrieved)
	if !ok {
		t.Fatalf("a %T", at.Data)
	}
	if err := s.VerifyAsked(at, retrieved.Asked); err != nil {
		t.Errorf("at the generator: %v", err)
	}
	other := event.New("acme", epoch(), event.DocumentDeleted{ID: "d", Generation: 1})
	if diff := cmp.Diff(other, s.Sign(other)); diff != "" {
		t.Errorf("an event that is no question: %s", diff)
	}
}

func TestEveryFieldIsSigned(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	for name, change := range map[string]func(e *event.Event, c *event.ChatAsked){
		"tenant":        func(e *event.Event, _ *event.ChatAsked) { e.Tenant = "other" },
		"reply":         func(e *event.Event, _ *event.ChatAsked) { e.ReplyTo = "rag.answer.v1.eve.chat1" },
		"deadline":      func(e *event.Event, _ *event.ChatAsked) { e.Deadline = e.Deadline.Add(1) },
		"no deadline":   func(e *event.Event, _ *event.ChatAsked) { e.Deadline = time.Time{} },
		"id":            func(_ *event.Event, c *event.ChatAsked) { c.ID = "chat2" },
		"conversation":  func(_ *event.Event, c *event.ChatAsked) { c.ConversationID = "conv2" },
		"owner":         func(_ *event.Event, c *event.ChatAsked) { c.Owner = "user:bob" },
		"account":       func(_ *event.Event, c *event.ChatAsked) { c.Account = "" },
		"principal":     func(_ *event.Event, c *event.ChatAsked) { c.Principals = []string{"group:a", "group:c"} },
		"one principal": func(_ *event.Event, c *event.ChatAsked) { c.Principals = []string{"group:agroup:b"} },
		"moved": func(_ *event.Event, c *event.ChatAsked) {
			c.Principals, c.Collections = append(c.Principals, "handbook"), nil
		},
		"collections":    func(_ *event.Event, c *event.ChatAsked) { c.Collections = nil },
		"question":       func(_ *event.Event, c *event.ChatAsked) { c.Question += "?" },
		"followup":       func(_ *event.Event, c *event.ChatAsked) { c.Followup = false },
		"stream":         func(_ *event.Event, c *event.ChatAsked) { c.Stream = false },
		"background":     func(_ *event.Event, c *event.ChatAsked) { c.Background = true },
		"asked at":       func(_ *event.Event, c *event.ChatAsked) { c.AskedAt = c.AskedAt.Add(-1) },
		"no filter":      func(_ *event.Event, c *event.ChatAsked) { c.Filter = nil },
		"filter's value": func(_ *event.Event, c *event.ChatAsked) { c.Filter[0].AnyOf[1] = "1.5" },
		"filter's bound": func(_ *event.Event, c *event.ChatAsked) { c.Filter[1].GTE, c.Filter[1].LTE = nil, c.Filter[1].GTE },
		"signature":      func(_ *event.Event, c *event.ChatAsked) { c.Signature = c.Signature[:len(c.Signature)-1] },
		"no signature":   func(_ *event.Event, c *event.ChatAsked) { c.Signature = "" },
	} {
		e := s.Sign(question())
		c := askedOf(t, e)
		if err := s.VerifyAsked(e, c); err != nil {
			t.Fatal(err)
		}
		change(&e, &c)
		err := s.VerifyAsked(e, c)
		if code(err) != "bad_signature" || !fault.Is(err, fault.Permanent) || !isBadSignature(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if isBadSignature(nil) || isBadSignature(fault.Permanentf("other", "m")) {
		t.Error("something else is a bad signature")
	}
}

// found is what a retriever passes on of a question.
func found(tb testing.TB, e event.Event) event.Event {
	tb.Helper()
	list, err := event.NewPassages([]corpus.Passage{
		{ID: "p1", DocumentID: "d", Version: "v", Title: "Handbuch <b>", Text: "Die Kaution beträgt zwei Mieten.", Score: 0.5},
		{ID: "p2", DocumentID: "d", Version: "v", Text: strings.Repeat("Text \u2028", 100)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	next := event.New(e.Tenant, epoch().Add(time.Second), event.ChatRetrieved{
		Asked: askedOf(tb, e), SearchQuery: "Kaution Höhe", Passages: list, Relevant: true,
		History: []event.Turn{{Role: "user", Content: "Hallo"}, {Role: "assistant", Content: "Ja?"}}, Degraded: []string{"dense"}, QueueMS: 1, RetrieveMS: 2,
	})
	next.ReplyTo, next.Deadline = e.ReplyTo, e.Deadline
	return next
}

func retrievedOf(tb testing.TB, e event.Event) event.ChatRetrieved {
	tb.Helper()
	r, ok := e.Data.(event.ChatRetrieved)
	if !ok {
		tb.Fatalf("a %T", e.Data)
	}
	return r
}

func TestEveryFieldOfWhatWasFoundIsSigned(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	for name, change := range map[string]func(e *event.Event, r *event.ChatRetrieved){
		"tenant":   func(e *event.Event, _ *event.ChatRetrieved) { e.Tenant = "other" },
		"reply":    func(e *event.Event, _ *event.ChatRetrieved) { e.ReplyTo = "rag.answer.v1.eve.chat1" },
		"question": func(_ *event.Event, r *event.ChatRetrieved) { r.Asked.Question += "?" },
		"another question": func(e *event.Event, r *event.ChatRetrieved) {
			r.Asked.ID = "chat2"
			e.Data = r.Asked
			r.Asked = askedOf(t, s.Sign(*e))
		},
		"query":          func(_ *event.Event, r *event.ChatRetrieved) { r.SearchQuery = "Kaution" },
		"relevant":       func(_ *event.Event, r *event.ChatRetrieved) { r.Relevant = false },
		"history":        func(_ *event.Event, r *event.ChatRetrieved) { r.History[0].Content = "Hallo?" },
		"role":           func(_ *event.Event, r *event.ChatRetrieved) { r.History[0].Role = "assistant" },
		"more history":   func(_ *event.Event, r *event.ChatRetrieved) { r.History = append(r.History, event.Turn{Role: "user"}) },
		"degraded":       func(_ *event.Event, r *event.ChatRetrieved) { r.Degraded = nil },
		"no passages":    func(_ *event.Event, r *event.ChatRetrieved) { r.Passages = event.Passages{} },
		"other passage":  func(_ *event.Event, r *event.ChatRetrieved) { r.Passages = retrievedOf(t, rewritten(t, *r)).Passages },
		"signature":      func(_ *event.Event, r *event.ChatRetrieved) { r.Signature = r.Signature[:len(r.Signature)-1] },
		"no signature":   func(_ *event.Event, r *event.ChatRetrieved) { r.Signature = "" },
		"the question's": func(_ *event.Event, r *event.ChatRetrieved) { r.Signature = r.Asked.Signature },
	} {
		e := wire(t, s.Sign(found(t, s.Sign(question()))))
		r := retrievedOf(t, e)
		if err := s.VerifyRetrieved(e, r); err != nil {
			t.Fatal(err)
		}
		change(&e, &r)
		if err := s.VerifyRetrieved(e, r); !isBadSignature(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var nobody *Signer
	if err := nobody.VerifyRetrieved(found(t, question()), retrievedOf(t, nobody.Sign(found(t, question())))); err != nil {
		t.Errorf("where nobody signs: %v", err)
	}
	if err := nobody.VerifyRetrieved(question(), retrievedOf(t, s.Sign(found(t, question())))); !isBadSignature(err) {
		t.Errorf("signed passages where there is no secret: %v", err)
	}
}

// rewritten returns what was found with one letter of a passage changed.
func rewritten(tb testing.TB, r event.ChatRetrieved) event.Event {
	tb.Helper()
	list := slices.Clone(r.Passages.List())
	list[0].Text = strings.Replace(list[0].Text, "zwei", "drei", 1)
	var err error
	if r.Passages, err = event.NewPassages(list); err != nil {
		tb.Fatal(err)
	}
	return event.New("acme", epoch(), r)
}

func TestEveryFieldOfASearchIsSigned(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	for name, change := range map[string]func(q *event.Search){
		"tenant":      func(q *event.Search) { q.Tenant = "other" },
		"principals":  func(q *event.Search) { q.Principals = nil },
		"query":       func(q *event.Search) { q.Query = "kaution" },
		"limit":       func(q *event.Search) { q.Limit = 9 },
		"collections": func(q *event.Search) { q.Collections = nil },
		"filter":      func(q *event.Search) { q.Filter = nil },
		"mode":        func(q *event.Search) { q.Mode = "dense" },
		"deadline":    func(q *event.Search) { q.Deadline = q.Deadline.Add(time.Hour) },
		"no deadline": func(q *event.Search) { q.Deadline = time.Time{} },
	} {
		q := s.SignSearch(aSearch())
		if err := s.VerifySearch(q); err != nil {
			t.Fatal(err)
		}
		change(&q)
		if err := s.VerifySearch(q); !isBadSignature(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	forever := aSearch()
	forever.Deadline = time.Time{}
	if err := s.VerifySearch(s.SignSearch(forever)); !isBadSignature(err) {
		t.Errorf("a search for ever: %v", err)
	}
}

func TestAQuestionsSignatureIsNoSearchs(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	q := aSearch()
	q.Signature = askedOf(t, s.Sign(question())).Signature
	if err := s.VerifySearch(q); !isBadSignature(err) {
		t.Error(err)
	}
}

func TestSecretsAreRotated(t *testing.T) {
	t.Parallel()
	before, during, after := signerOf(t, oneSecret), signerOf(t, otherSecret, oneSecret), signerOf(t, otherSecret)
	learned := signerOf(t, oneSecret, otherSecret)
	for name, c := range map[string]struct {
		signs, verifies *Signer
		ok              bool
	}{
		"a worker has learned the new one": {before, learned, true},
		"a gateway has learned it":         {learned, before, true},
		"a gateway signs with it":          {during, learned, true},
		"and works with the old one":       {before, during, true},
		"a worker that did not learn it":   {during, before, false},
		"the old one is gone":              {before, after, false},
		"a worker without a secret":        {before, nil, false},
		"a gateway without a secret":       {nil, before, false},
		"nobody has one":                   {nil, nil, true},
	} {
		e, q := c.signs.Sign(question()), c.signs.SignSearch(aSearch())
		if err := c.verifies.VerifyAsked(e, askedOf(t, e)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.verifies.VerifySearch(q); (err == nil) != c.ok {
			t.Errorf("%s, a search: %v", name, err)
		}
	}
}

func TestARefusalHoldsNoSecretAndNoSignature(t *testing.T) {
	t.Parallel()
	s := signerOf(t, oneSecret)
	e := s.Sign(question())
	c := askedOf(t, e)
	valid := c.Signature
	c.Signature = "v1.AAAA"
	err := s.VerifyAsked(e, c)
	if err == nil || strings.Contains(err.Error(), oneSecret) || strings.Contains(err.Error(), valid) {
		t.Errorf("got %v", err)
	}
}

// FuzzEncode: two questions that differ have different encodings, however
// their texts are cut.
func FuzzEncode(f *testing.F) {
	f.Add("acme", "owner", "group:a", "c", "question", "k", "v", 1.5, true, "acm", "eowner", "group:a", "c", "question", "k", "v", 1.5, true)
	f.Add("", "", "", "", "", "", "", 0.0, false, "", "", "", "", "", "", "", 0.0, false)
	f.Add("a", "b", "c", "", "d", "e", "1", 1.0, false, "a", "b", "", "c", "d", "e", "1", 1.0, false)
	f.Fuzz(func(t *testing.T, tenant1, owner1, principal1, collection1, question1, key1, value1 string, number1 float64, flag1 bool,
		tenant2, owner2, principal2, collection2, question2, key2, value2 string, number2 float64, flag2 bool,
	) {
		if number1 != number1 || number2 != number2 {
			return // JSON has no NaN
		}
		build := func(tenant, owner, principal, collection, question, key, value string, number float64, flag bool) (event.Event, event.ChatAsked) {
			c := event.ChatAsked{Owner: owner, Question: question, Stream: flag, Filter: corpus.Filter{{Key: key, AnyOf: []any{value, number, flag}}}}
			if principal != "" {
				c.Principals = []string{principal}
			}
			if collection != "" {
				c.Collections = []string{collection}
			}
			return event.Event{Tenant: tenant}, c
		}
		e1, c1 := build(tenant1, owner1, principal1, collection1, question1, key1, value1, number1, flag1)
		e2, c2 := build(tenant2, owner2, principal2, collection2, question2, key2, value2, number2, flag2)
		same := string(encodeAsked(e1, c1)) == string(encodeAsked(e2, c2))
		if equal := cmp.Equal(e1, e2) && cmp.Equal(c1, c2); same != equal {
			t.Errorf("equal %v, encoded the same %v:\n%+v\n%+v", equal, same, c1, c2)
		}
	})
}

// isBadSignature reports whether err is a refusal of [Signer.VerifyAsked] or [Signer.VerifySearch].
func isBadSignature(err error) bool {
	code, _ := fault.Public(err)
	return err != nil && code == codeBadSignature
}
