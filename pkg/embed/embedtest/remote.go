package embedtest

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
	"github.com/ragbus/ragbus/pkg/fault"
)

// Setup is what a case of [RunRemote] wants of the adapter. Zero fields are the adapter's defaults.
type Setup struct {
	// BaseURL is that of the emulator, without a path.
	BaseURL string
	APIKey  string
	Model   string

	BatchTexts, Concurrency int
	Timeout                 time.Duration
}

// Adapter is an adapter to an API and the format of its emulator.
type Adapter struct {
	Open func(t *testing.T, s Setup) embed.Embedder
	Wire emulator.Wire
	// SaysNoCredit is set where the API tells a used-up account from a limit.
	SaysNoCredit bool
	// QueryTask is what the API is told about queries, "" when nothing.
	QueryTask, PassageTask string
}

// wait bounds what the suite waits for.
const wait = 10 * time.Second

// RunRemote runs the contract suite on an adapter over its API's emulator,
// and after it the failures that services have.
func RunRemote(t *testing.T, a Adapter) {
	t.Helper()
	t.Run("contract", func(t *testing.T) {
		t.Parallel()
		Run(t, func(t *testing.T) embed.Embedder {
			t.Helper()
			// The largest batches of the suite are those that must be seen to end early.
			e, _ := a.stage(t, Setup{BatchTexts: 64}, func(b emulator.Batch) emulator.Reply {
				if len(b.Texts) == 64 {
					return emulator.Reply{Latency: 200 * time.Millisecond}
				}
				return emulator.Reply{}
			})
			return e
		}, Caps{})
	})
	for name, check := range map[string]func(*testing.T, Adapter){
		"failures have their class, once and without the key": failures,
		"a pause that was asked for is passed on":             pauses,
		"a wrong key is permanent and not repeated":           wrongKey,
		"an unknown model is permanent":                       unknownModel,
		"texts are told apart by purpose":                     tasks,
		"many texts are sent in batches, in order":            batches,
		"requests are counted":                                counted,
		"concurrent requests are bounded":                     bounded,
		"passages do not hold up queries":                     lanes,
		"one failed batch ends the others":                    together,
		"a cancelled call closes the connection":              cancelled,
		"a slow answer is given up":                           slow,
		"a batch with too many tokens is sent in parts":       parts,
		"a text that no model takes is permanent":             never,
		"the profile tells spaces apart":                      spaces,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, a)
		})
	}
}

// stage starts an emulator and opens the adapter on it.
func (a Adapter) stage(t *testing.T, s Setup, script emulator.Script) (embed.Embedder, *emulator.Server) {
	t.Helper()
	server := emulator.New(a.Wire, script)
	h := httptest.NewServer(server)
	t.Cleanup(h.Close)
	s.BaseURL = h.URL
	if s.APIKey == "" {
		s.APIKey = emulator.Key
	}
	return a.Open(t, s), server
}

func always(f emulator.Failure) emulator.Script {
	return func(emulator.Batch) emulator.Reply { return emulator.Reply{Failure: f} }
}

func failures(t *testing.T, a Adapter) {
	noCredit := fault.Throttled
	if a.SaysNoCredit {
		noCredit = fault.Permanent
	}
	for _, c := range []struct {
		failure emulator.Failure
		class   fault.Class
	}{
		{emulator.Throttled, fault.Throttled},
		{emulator.ServerError, fault.Transient},
		{emulator.Unavailable, fault.Transient},
		{emulator.NoCredit, noCredit},
		{emulator.Refused, fault.Permanent},
		{emulator.Cut, fault.Transient},
		{emulator.Malformed, fault.Transient},
		{emulator.OddShape, fault.Transient},
		{emulator.Empty, fault.Transient},
		{emulator.TooFew, fault.Transient},
		{emulator.TooMany, fault.Transient},
		{emulator.WrongDimension, fault.Permanent},
		{emulator.NaN, fault.Transient},
		{emulator.Zero, fault.Transient},
		{emulator.Redirect, fault.Transient},
	} {
		t.Run(string(c.failure), func(t *testing.T) {
			t.Parallel()
			e, server := a.stage(t, Setup{}, always(c.failure))
			const secret = "the harvest of Ashgrove"
			vectors, err := e.Embed(t.Context(), embed.Passage, []string{secret, "another text"})
			if err == nil || vectors != nil || fault.Of(err) != c.class {
				t.Errorf("%d vectors and error %v, want none and class %s", len(vectors), err, c.class)
			}
			if n := len(server.Batches()); n != 1 {
				t.Errorf("%d requests, want 1: retrying is the caller's", n)
			}
			quiet(t, err, emulator.Key, secret)
			if code, message := fault.Public(err); code == "internal" || message == "" {
				t.Errorf("public code %q and message %q say nothing", code, message)
			}
			if got := fault.RetryAfter(err); got != 0 {
				t.Errorf("a pause of %s, though none was asked for", got)
			}
		})
	}
}

// quiet fails the test when the error holds what nobody may read in a log.
func quiet(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		for _, format := range []string{"%v", "%+v", "%#v"} {
			for _, secret := range secrets {
				if strings.Contains(fmt.Sprintf(format, e), secret) {
					t.Errorf("the error holds %q", secret)
				}
			}
		}
	}
}

func pauses(t *testing.T, a Adapter) {
	for _, failure := range []emulator.Failure{emulator.Throttled, emulator.Unavailable} {
		e, _ := a.stage(t, Setup{}, func(emulator.Batch) emulator.Reply { return emulator.Reply{Failure: failure, Pause: 7 * time.Second} })
		_, err := e.Embed(t.Context(), embed.Query, []string{"a"})
		if !fault.Is(err, fault.Throttled) || fault.RetryAfter(err) != 7*time.Second {
			t.Errorf("%s: error %v, pause %s, want throttled for 7s", failure, err, fault.RetryAfter(err))
		}
	}
}

func wrongKey(t *testing.T, a Adapter) {
	const key = "sk-somebody-elses-9876543210"
	e, _ := a.stage(t, Setup{APIKey: key}, nil)
	_, err := e.Embed(t.Context(), embed.Query, []string{"a"})
	if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "embedder_unauthorized" {
		t.Errorf("error %v with code %q, want permanent and embedder_unauthorized", err, code)
	}
	quiet(t, err, key)
}

func unknownModel(t *testing.T, a Adapter) {
	e, _ := a.stage(t, Setup{Model: "no-such-model"}, nil)
	_, err := e.Embed(t.Context(), embed.Query, []string{"a"})
	if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "embedder_not_found" {
		t.Errorf("error %v with code %q, want permanent and embedder_not_found", err, code)
	}
}

func tasks(t *testing.T, a Adapter) {
	e, server := a.stage(t, Setup{}, nil)
	suite{Embedder: e}.embed(t, embed.Query, "a question")
	suite{Embedder: e}.embed(t, embed.Passage, "a passage")
	b := server.Batches()
	if b[0].Task != a.QueryTask || b[1].Task != a.PassageTask {
		t.Errorf("the API was told %q and %q, want %q and %q", b[0].Task, b[1].Task, a.QueryTask, a.PassageTask)
	}
	if b[0].Texts[0] != "a question" || b[1].Texts[0] != "a passage" {
		t.Errorf("the API read %q and %q", b[0].Texts, b[1].Texts)
	}
}

func cancelled(t *testing.T, a Adapter) {
	for _, failure := range []emulator.Failure{emulator.Silent, emulator.Stalled} {
		arrived := make(chan struct{}, 1)
		e, server := a.stage(t, Setup{}, func(emulator.Batch) emulator.Reply {
			arrived <- struct{}{}
			return emulator.Reply{Failure: failure}
		})
		why := errors.New("the reader left")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := e.Embed(ctx, embed.Passage, passages(3, 8))
			failed <- err
		}()
		<-arrived
		cancel(why)
		if err := <-failed; !errors.Is(err, why) || !fault.Is(err, fault.Transient) {
			t.Errorf("%s: error %v, want the cause of the cancellation", failure, err)
		}
		await(t, server)
	}
}

func slow(t *testing.T, a Adapter) {
	for _, failure := range []emulator.Failure{emulator.Silent, emulator.Stalled} {
		seen := false
		// On a busy machine a request may be given up before the service has it.
		for timeout := 20 * time.Millisecond; !seen && timeout < wait; timeout *= 2 {
			e, server := a.stage(t, Setup{Timeout: timeout}, always(failure))
			_, err := e.Embed(t.Context(), embed.Passage, passages(1, 8))
			if code, _ := fault.Public(err); !fault.Is(err, fault.Transient) || code != "embedder_unavailable" {
				t.Fatalf("%s: error %v with code %q, want transient and embedder_unavailable", failure, err, code)
			}
			seen = closes(server, time.Second)
		}
		if !seen {
			t.Errorf("%s: the service never saw the connection closed", failure)
		}
	}
}

func parts(t *testing.T, a Adapter) {
	e, server := a.stage(t, Setup{}, func(b emulator.Batch) emulator.Reply {
		if len(b.Texts) > 2 || len(b.Texts[0]) > 1000 {
			return emulator.Reply{Failure: emulator.TooLong}
		}
		return emulator.Reply{}
	})
	s := suite{Embedder: e, caps: Caps{Tolerance: 1e-5}}
	texts := passages(9, 8)
	texts[4] = strings.Repeat("!?", 2000)
	got := s.embed(t, embed.Passage, texts...)
	for i, text := range texts {
		if i != 4 && !s.same(got[i], s.embed(t, embed.Passage, text)[0]) {
			t.Errorf("text %d has another text's vector", i)
		}
	}
	if n := len(server.Batches()); n > 60 {
		t.Errorf("%d requests for nine texts", n)
	}
}

func never(t *testing.T, a Adapter) {
	e, server := a.stage(t, Setup{}, always(emulator.TooLong))
	_, err := e.Embed(t.Context(), embed.Passage, []string{strings.Repeat("word ", 100_000)})
	if code, _ := fault.Public(err); !fault.Is(err, fault.Permanent) || code != "text_too_long" {
		t.Errorf("error %v with code %q, want permanent and text_too_long", err, code)
	}
	if n := len(server.Batches()); n > 20 {
		t.Errorf("%d requests before giving up", n)
	}
}

func spaces(t *testing.T, a Adapter) {
	one, _ := a.stage(t, Setup{}, nil)
	other, _ := a.stage(t, Setup{Model: "no-such-model"}, nil)
	p := one.Profile()
	for _, part := range []string{p.Provider, p.Model, fmt.Sprint(p.Dimensions)} {
		if !strings.Contains(p.Key(), part) {
			t.Errorf("the key %q lacks %q", p.Key(), part)
		}
	}
	if p.Key() == other.Profile().Key() {
		t.Errorf("two models share the key %q", p.Key())
	}
}
