//go:build localmodel

package localmodel_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/localmodel"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/llmtest"
	"github.com/ragbus/ragbus/pkg/llm/openaillm"
)

// These tests check the protocol, never what the model says: it is far too
// small to be right. They take turns, for the server answers one at a time.

const key = "local-test-key"

// patience bounds every wait. A core of an ordinary machine reads about 100
// tokens a second and writes 20 to 40.
const patience = 5 * time.Minute

var (
	files   localmodel.Files
	process *localmodel.Process
	// binaries is where the program is built.
	binaries string
)

func TestMain(m *testing.M) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	code, err := prepare(ctx, m)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func prepare(ctx context.Context, m *testing.M) (code int, err error) {
	if files, err = localmodel.Fetch(ctx, filepath.Join("..", "..", "..", "..", ".cache", "localmodel"), os.Stderr); err != nil {
		return 1, err
	}
	if binaries, err = os.MkdirTemp("", "ragbus-localmodel"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(binaries)
	log := &locked{}
	if process, err = localmodel.Start(ctx, files, localmodel.Options{Key: key, Log: log}); err != nil {
		return 1, err
	}
	defer process.Stop()
	if err := process.Ready(ctx); err != nil {
		return 1, fmt.Errorf("%w\n%s", err, log)
	}
	code = m.Run()
	process.Stop()
	if code == 0 {
		err = goleak.Find()
	}
	return code, err
}

func open(t *testing.T, change func(*openaillm.Config)) *openaillm.Model {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	cfg := openaillm.Config{BaseURL: process.BaseURL, APIKey: key, Model: localmodel.ModelName, Transport: transport}
	if change != nil {
		change(&cfg)
	}
	m, err := openaillm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func question(text string, tokens int) llm.Request {
	return llm.Request{
		System:    "You answer questions.",
		Messages:  []llm.Message{{Role: llm.User, Text: "Hello."}, {Role: llm.Assistant, Text: "Hello. What can I do?"}, {Role: llm.User, Text: text}},
		MaxTokens: tokens,
	}
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestStreamAndUsage(t *testing.T) {
	got := llmtest.Read(bounded(t), t, open(t, nil), question("Tell me about lighthouses.", 40))
	if got.Err != nil || got.Deltas < 3 || got.Finish == llm.Filtered || got.Usage.PromptTokens < 20 || got.Usage.CompletionTokens < got.Deltas/2 || got.Usage.CompletionTokens > 40 {
		t.Errorf("%+v", got)
	}
}

func TestTheLimitIsKeptAndTold(t *testing.T) {
	got := llmtest.Read(bounded(t), t, open(t, nil), question("Count from one to one hundred.", 5))
	if got.Err != nil || got.Finish != llm.Truncated || got.Usage.CompletionTokens != 5 {
		t.Errorf("%+v", got)
	}
}

func TestAStopTextEndsTheAnswer(t *testing.T) {
	r := question("Write the sentence: The lighthouse is red.", 60)
	r.Stop = []string{" ", "."}
	got := llmtest.Read(bounded(t), t, open(t, nil), r)
	if got.Err != nil || strings.ContainsAny(strings.TrimSpace(got.Text), " .") {
		t.Errorf("%+v", got)
	}
}

func TestCancellingFreesTheServer(t *testing.T) {
	m := open(t, nil)
	for _, how := range []string{"context", "break"} {
		ctx, cancel := context.WithCancel(bounded(t))
		n := 0
		for d, err := range m.Stream(ctx, question("Write a very long story about the sea, with many chapters.", 4000)) {
			if err != nil || d.Finish != "" {
				break
			}
			if n++; n == 3 {
				if how == "break" {
					break
				}
				cancel()
			}
		}
		if n < 3 {
			t.Fatalf("%s: the answer ended after %d deltas", how, n)
		}
		// The one slot is free again long before 4,000 tokens are written.
		began := time.Now()
		if got := llmtest.Read(bounded(t), t, m, question("Hi.", 2)); got.Err != nil {
			t.Errorf("%s: %v", how, got.Err)
		}
		if waited := time.Since(began); waited > 30*time.Second {
			t.Errorf("%s: the server was busy for another %s", how, waited)
		}
		cancel()
	}
}

func TestAQueuedCallWaitsAndCanBeCancelled(t *testing.T) {
	m := open(t, nil)
	busy, free := context.WithCancel(bounded(t))
	defer free()
	begun := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		first := true
		for range m.Stream(busy, question("Write a very long story about the sea, with many chapters.", 4000)) {
			if first {
				close(begun)
				first = false
			}
		}
	}()
	<-begun
	impatient := open(t, func(c *openaillm.Config) { c.FirstToken = 300 * time.Millisecond })
	got := llmtest.Read(bounded(t), t, impatient, question("Hi.", 2))
	if code, _ := fault.Public(got.Err); !fault.Is(got.Err, fault.Transient) || code != "model_unavailable" {
		t.Errorf("the impatient one: %+v", got)
	}
	free()
	<-over
	if got := llmtest.Read(bounded(t), t, m, question("Hi.", 2)); got.Err != nil {
		t.Errorf("the patient one: %v", got.Err)
	}
}

func TestOverflow(t *testing.T) {
	got := llmtest.Read(bounded(t), t, open(t, nil), question(strings.Repeat("lighthouse harbour ", 2*localmodel.DefaultContext), 10))
	if code, _ := fault.Public(got.Err); !fault.Is(got.Err, fault.Permanent) || code != "prompt_too_long" {
		t.Errorf("%+v", got)
	}
}

func TestWrongKey(t *testing.T) {
	const wrong = "a-wrong-key-0123456789"
	got := llmtest.Read(bounded(t), t, open(t, func(c *openaillm.Config) { c.APIKey = wrong }), question("Hi.", 2))
	if code, _ := fault.Public(got.Err); !fault.Is(got.Err, fault.Permanent) || code != "model_unauthorized" || strings.Contains(got.Err.Error(), wrong) {
		t.Errorf("%+v", got)
	}
}

func TestLoadingAndDying(t *testing.T) {
	p, err := localmodel.Start(t.Context(), files, localmodel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	m := open(t, func(c *openaillm.Config) { c.BaseURL, c.APIKey = p.BaseURL, "" })
	ctx := bounded(t)
	seen := map[string]int{}
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for ; ; <-pace.C {
		got := llmtest.Read(ctx, t, m, question("Hi.", 2))
		if got.Err == nil {
			break
		}
		if code, _ := fault.Public(got.Err); !fault.Is(got.Err, fault.Transient) || code != "model_unavailable" {
			t.Fatalf("while loading: %v", got.Err)
		}
		seen["refused"]++
		if strings.Contains(got.Err.Error(), "503") {
			seen["loading"]++
		}
	}
	t.Logf("before the first answer: %v", seen)
	if seen["refused"] == 0 {
		t.Error("the server was there at once: loading was not seen")
	}
	n := 0
	var last error
	for d, err := range m.Stream(ctx, question("Write a very long story about the sea, with many chapters.", 4000)) {
		if last = err; d.Text != "" {
			if n++; n == 3 {
				p.Kill()
			}
		}
	}
	if !fault.Is(last, fault.Transient) || n < 3 {
		t.Errorf("after %d deltas: %v", n, last)
	}
}
