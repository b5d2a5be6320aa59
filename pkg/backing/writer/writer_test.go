package writer_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/writer"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/lifecycle"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/modelserver"
	"github.com/ragbus/ragbus/pkg/outbound"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type settings struct {
	Keys   backing.Keys
	Writer writer.Config
}

// Validate implements config.Validator.
func (s settings) Validate() error { return s.Writer.Check(s.Keys) }

func TestWhoWrites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vars    config.Vars
		choice  string
		problem string
	}{
		"nobody but the documents":       {config.Vars{}, "extractive", ""},
		"the one whose key alone is set": {config.Vars{"ANTHROPIC_API_KEY": "k"}, "anthropic", ""},
		"the other name of a key":        {config.Vars{"GOOGLE_API_KEY": "k"}, "gemini", ""},
		"nobody said which of two":       {config.Vars{"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, "extractive", ""},
		"a server of one's own":          {config.Vars{"RAGBUS_LLM": "openai", "RAGBUS_OPENAI_BASE_URL": "http://127.0.0.1:11434/v1", "RAGBUS_LLM_MODEL": "m"}, "openai", ""},
		"a chain":                        {config.Vars{"GEMINI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "RAGBUS_LLM": "gemini", "RAGBUS_LLM_FALLBACK": "anthropic,extractive"}, "gemini", ""},
		"no key":                         {config.Vars{"RAGBUS_LLM": "anthropic"}, "anthropic", "ANTHROPIC_API_KEY"},
		"somebody unknown":               {config.Vars{"RAGBUS_LLM": "oracle"}, "oracle", "RAGBUS_LLM"},
		"a model for nobody":             {config.Vars{"RAGBUS_LLM_MODEL": "m"}, "extractive", "RAGBUS_LLM_MODEL"},
		"a fallback without its key":     {config.Vars{"GEMINI_API_KEY": "k", "RAGBUS_LLM_FALLBACK": "anthropic"}, "gemini", "RAGBUS_LLM_FALLBACK"},
		"a fallback to itself":           {config.Vars{"GEMINI_API_KEY": "k", "RAGBUS_LLM_FALLBACK": "gemini"}, "gemini", "comes twice"},
		"something after the last":       {config.Vars{"GEMINI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "RAGBUS_LLM": "gemini", "RAGBUS_LLM_FALLBACK": "extractive,anthropic"}, "gemini", "nothing comes after"},
		"a fallback of what cannot fail": {config.Vars{"RAGBUS_LLM_FALLBACK": "extractive"}, "extractive", "RAGBUS_LLM_FALLBACK"},
		"limits below nothing":           {config.Vars{"GEMINI_API_KEY": "k", "RAGBUS_LLM_RPM": "-1"}, "gemini", "RAGBUS_LLM_RPM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load[settings](c.vars)
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("the problem is %v, want %q", err, c.problem)
			}
			if got := cfg.Writer.Choice(cfg.Keys); got != c.choice {
				t.Errorf("%s writes, want %s", got, c.choice)
			}
		})
	}
}

// surroundings is a program that parts are opened for.
type surroundings struct {
	health   map[string]lifecycle.Check
	registry *prometheus.Registry
}

func (s *surroundings) host() backing.Host {
	s.health, s.registry = map[string]lifecycle.Check{}, prometheus.NewRegistry()
	return backing.Host{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Alone: true,
		OnClose: func(func(context.Context) error) {}, OnProbe: func(lifecycle.Check) {},
		OnHealth: func(c lifecycle.Check) { s.health[c.Name] = c },
		Outbound: outbound.NewMetrics(s.registry),
	}
}

func open(t *testing.T, vars config.Vars) (writer.Writer, *surroundings) {
	t.Helper()
	cfg, err := config.Load[settings](vars)
	if err != nil {
		t.Fatal(err)
	}
	var s surroundings
	w, err := writer.Open(t.Context(), s.host(), cfg.Writer, cfg.Keys)
	if err != nil {
		t.Fatal(err)
	}
	return w, &s
}

func serve(t *testing.T, b modelserver.Behaviour) string {
	t.Helper()
	m, err := modelserver.New("secret", b)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(m)
	t.Cleanup(s.Close)
	return s.URL
}

// say returns what a model answers and who wrote it.
func say(t *testing.T, m llm.Model) (text, model string, err error) {
	t.Helper()
	for d, err := range m.Stream(t.Context(), llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "Who are you?"}}}) {
		if err != nil {
			return text, model, err
		}
		text, model = text+d.Text, d.Model
	}
	return text, model, nil
}

func TestTheNextModelWritesWhenTheFirstFails(t *testing.T) {
	t.Parallel()
	away := serve(t, modelserver.Behaviour{Fault: modelserver.Fail})
	there := serve(t, modelserver.Behaviour{Say: "I am the second."})
	w, s := open(t, config.Vars{
		"RAGBUS_LLM": "openai", "RAGBUS_LLM_MODEL": "m", "OPENAI_API_KEY": "secret", "RAGBUS_OPENAI_BASE_URL": away + "/v1",
		"ANTHROPIC_API_KEY": "secret", "RAGBUS_ANTHROPIC_BASE_URL": there, "RAGBUS_LLM_FALLBACK": "anthropic,extractive",
	})
	if !w.Fallback {
		t.Error("the extractive writer does not come last")
	}
	for range 4 {
		text, model, err := say(t, w.Model)
		if err != nil || text != "I am the second." || !strings.Contains(model, "claude") {
			t.Errorf("%q by %q, %v", text, model, err)
		}
	}
	if err := s.health["llm"].Probe(t.Context()); err == nil {
		t.Error("the first model is told to be well after all its failures")
	}
	told, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range told {
		fmt.Fprintln(&text, family)
	}
	for _, part := range []string{`value:"llm"`, `value:"llm_anthropic"`} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("no metric has %s", part)
		}
	}
}

func TestAModelThatAnswersIsWell(t *testing.T) {
	t.Parallel()
	w, s := open(t, config.Vars{
		"GEMINI_API_KEY": "secret", "RAGBUS_GEMINI_BASE_URL": serve(t, modelserver.Behaviour{Say: "Here."}), "RAGBUS_LLM_RPM": "2",
	})
	if text, _, err := say(t, w.Model); err != nil || text != "Here." {
		t.Errorf("%q, %v", text, err)
	}
	if err := s.health["llm"].Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestTheExtractiveWriterNeedsNoModel(t *testing.T) {
	t.Parallel()
	w, s := open(t, config.Vars{})
	if w != (writer.Writer{}) || s.health["llm"].Probe(t.Context()) != nil {
		t.Errorf("%+v", w)
	}
}
