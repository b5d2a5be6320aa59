package modelcatalog

import (
	"testing"
	"time"
)

var providers = []Provider{Gemini, OpenAI, Anthropic, Cohere} //nolint:gochecknoglobals // immutable

func TestEveryDefaultIsInTheTableAndStays(t *testing.T) {
	t.Parallel()
	soon := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).AddDate(0, 3, 0).Format(time.DateOnly)
	for _, p := range providers {
		if name := DefaultChat(p); name != "" {
			if m, ok := Chat(p, name); !ok || m.Retires != "" && m.Retires < soon {
				t.Errorf("%s: the default %s is unknown or ends on %q", p, name, m.Retires)
			}
		}
		if name := DefaultEmbedding(p); name != "" {
			if m, ok := Embedding(p, name); !ok || m.Retires != "" && m.Retires < soon {
				t.Errorf("%s: the default %s is unknown or ends on %q", p, name, m.Retires)
			}
		}
	}
	if DefaultChat("nobody") != "" || DefaultEmbedding("nobody") != "" {
		t.Error("nobody has a default")
	}
}

func TestChatTableIsPlausible(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range ChatModels() {
		key := string(m.Provider) + "/" + m.Name
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if m.OutputTokens <= 0 || m.ContextTokens < m.OutputTokens {
			t.Errorf("%s: %d of %d tokens", key, m.OutputTokens, m.ContextTokens)
		}
		if m.Price.Input <= 0 || m.Price.Output <= m.Price.Input || m.Price.CachedInput >= m.Price.Input || m.Price.Output > 200 {
			t.Errorf("%s: odd price %+v", key, m.Price)
		}
		if (m.LongFrom > 0) != (m.LongPrice.Input > m.Price.Input) {
			t.Errorf("%s: long prompts from %d at %+v", key, m.LongFrom, m.LongPrice)
		}
		checkDay(t, key, m.Retires)
	}
}

func TestEmbeddingTableIsPlausible(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range EmbeddingModels() {
		key := string(m.Provider) + "/" + m.Name
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if !m.Allows(m.DefaultDimensions) || !m.Allows(m.NativeDimensions) || m.Allows(0) || m.Allows(m.MaxDimensions+1) || m.Allows(m.MinDimensions-1) {
			t.Errorf("%s: dimensions %+v", key, m)
		}
		if m.InputTokens <= 0 || m.BatchTexts <= 0 || m.Price.Input <= 0 || m.Price.Input > 1 || m.Price.Output != 0 {
			t.Errorf("%s: limits or price %+v", key, m)
		}
		checkDay(t, key, m.Retires)
	}
}

func checkDay(t *testing.T, key, day string) {
	t.Helper()
	if day == "" {
		return
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil || day < "2026-12-11" {
		t.Errorf("%s: retires on %q", key, day)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider    Provider
		name        string
		known       bool
		context     int
		temperature bool
		effort      string
	}{
		{OpenAI, "gpt-5.4-mini-2026-03-17", true, 400_000, false, "low"},
		{OpenAI, "gpt-4o-2024-11-20", true, 128_000, true, ""},
		{Anthropic, "claude-haiku-4-5-20251001", true, 200_000, true, ""},
		{OpenAI, "gpt-7-something", false, 272_000, false, "low"},
		{OpenAI, "o3", false, 272_000, false, "low"},
		{OpenAI, "o3x", false, AssumedContextTokens, true, ""},
		{OpenAI, "llama3.2:3b", false, AssumedContextTokens, true, ""},
		{OpenAI, "claude-haiku-5-5", false, AssumedContextTokens, true, ""},
		{OpenAI, "-2026-03-17", false, AssumedContextTokens, true, ""},
		{Gemini, "gemini-5-new", false, 1 << 20, false, "low"},
		{Gemini, "gemini-2.5-pro", false, 1 << 20, true, ""},
		{Gemini, "gemini-2.0-flash", false, 1 << 20, true, ""},
		{Gemini, "gemma-4-31b-it", false, 128 << 10, true, ""},
		{Anthropic, "claude-next", false, 200_000, false, ""},
		{"nobody", "x", false, 0, false, ""},
	} {
		m, known := Chat(tt.provider, tt.name)
		if known != tt.known || m.ContextTokens != tt.context || m.Temperature != tt.temperature || m.Effort != tt.effort || m.Name != tt.name {
			t.Errorf("%s %s: %v, %+v", tt.provider, tt.name, known, m)
		}
	}
	if m, known := Embedding(OpenAI, "nomic-embed-text"); known || m.Name != "nomic-embed-text" || m.Allows(768) {
		t.Errorf("an unknown embedding model: %v, %+v", known, m)
	}
}

func TestCost(t *testing.T) {
	t.Parallel()
	m := ChatModel{Price: Price{1, .1, 5}, LongFrom: 1000, LongPrice: Price{2, .2, 10}}
	for _, tt := range []struct {
		prompt, cached, completion int
		want                       float64
	}{
		{1000, 0, 100, 1500e-6},
		{1000, 400, 0, 640e-6},
		{1001, 0, 0, 2002e-6},
		{10, 20, 0, 1e-6},
		{10, -1, 0, 10e-6},
	} {
		if got := m.Cost(tt.prompt, tt.cached, tt.completion); got < tt.want-1e-12 || got > tt.want+1e-12 {
			t.Errorf("%+v: %g", tt, got)
		}
	}
	if got := (EmbeddingModel{Price: Price{Input: .2}}).Cost(500_000); got != .1 {
		t.Errorf("embedding costs %g", got)
	}
}

func TestBudgetLeavesRoomForThinking(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		model  ChatModel
		answer int
		want   int
	}{
		{ChatModel{}, 200, 200},
		{ChatModel{Effort: "low"}, 200, 200 + thinkingRoom},
		{ChatModel{ThinkingTokens: 512}, 200, 712},
		{ChatModel{Effort: "low", OutputTokens: 1000}, 200, 1000},
		{ChatModel{OutputTokens: 100}, 200, 100},
	} {
		if got := tt.model.Budget(tt.answer); got != tt.want {
			t.Errorf("%+v: %d, want %d", tt.model, got, tt.want)
		}
	}
}
