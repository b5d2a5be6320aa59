package embedder_test

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/backing"
	"github.com/ragbus/ragbus/pkg/backing/embedder"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/lifecycle"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

type settings struct {
	Keys    backing.Keys
	Vectors embedder.Config
}

// Validate implements config.Validator.
func (s settings) Validate() error { return s.Vectors.Check(s.Keys) }

func TestWhoMakesVectors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		vars     config.Vars
		provider string
		problem  string
	}{
		"the built-in model":        {config.Vars{}, "builtin", ""},
		"Gemini":                    {config.Vars{"RAGBUS_EMBEDDER": "gemini", "GEMINI_API_KEY": "k"}, "gemini", ""},
		"OpenAI":                    {config.Vars{"RAGBUS_EMBEDDER": "openai", "OPENAI_API_KEY": "k", "RAGBUS_EMBEDDER_DIMENSIONS": "256"}, "openai", ""},
		"Cohere":                    {config.Vars{"RAGBUS_EMBEDDER": "cohere", "COHERE_API_KEY": "k"}, "cohere", ""},
		"no key":                    {config.Vars{"RAGBUS_EMBEDDER": "cohere"}, "", "COHERE_API_KEY"},
		"somebody unknown":          {config.Vars{"RAGBUS_EMBEDDER": "oracle"}, "", "RAGBUS_EMBEDDER"},
		"a choice of the built-in":  {config.Vars{"RAGBUS_EMBEDDER_DIMENSIONS": "3"}, "", "RAGBUS_EMBEDDER_DIMENSIONS"},
		"a model nobody knows":      {config.Vars{"RAGBUS_EMBEDDER": "openai", "OPENAI_API_KEY": "k", "RAGBUS_EMBEDDER_MODEL": "mine"}, "", "RAGBUS_EMBEDDER=openai"},
		"no requests at a time":     {config.Vars{"RAGBUS_EMBEDDER_CONCURRENCY": "-1"}, "", "RAGBUS_EMBEDDER_RPM"},
		"dimensions that are words": {config.Vars{"RAGBUS_EMBEDDER_DIMENSIONS": "many"}, "", "RAGBUS_EMBEDDER_DIMENSIONS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load[settings](c.vars)
			if (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Fatalf("the problem is %v, want %q", err, c.problem)
			}
			if err != nil {
				return
			}
			var closers []func(context.Context) error
			told := map[string]error{}
			e, err := embedder.Open(t.Context(), backing.Host{
				Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Alone: true, OnProbe: func(lifecycle.Check) {},
				OnClose:  func(f func(context.Context) error) { closers = append(closers, f) },
				OnHealth: func(c lifecycle.Check) { told[c.Name] = c.Probe(t.Context()) },
			}, cfg.Vectors, cfg.Keys)
			if err != nil {
				t.Fatal(err)
			}
			profile := e.Profile()
			if profile.Provider != c.provider || cfg.Vectors.Dimensions != 0 && profile.Dimensions != cfg.Vectors.Dimensions {
				t.Errorf("the profile is %+v", profile)
			}
			if err, ok := told["embedder"]; !ok || err != nil {
				t.Errorf("its health: told %t, %v", ok, err)
			}
			// Nothing is asked for nothing, behind whatever guards the calls.
			if v, err := e.Embed(t.Context(), embed.Query, nil); err != nil || len(v) > 0 {
				t.Errorf("no texts: %v, %v", v, err)
			}
			for _, f := range closers {
				if err := f(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
