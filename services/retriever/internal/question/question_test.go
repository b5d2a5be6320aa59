package question

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/llm"
)

var history = []event.Turn{
	{Role: "user", Content: "What does the salmon do in autumn?"},
	{Role: "assistant", Content: "It climbs rivers."},
	{Role: "user", Content: "and why?"},
	{Role: "assistant", Content: "To spawn."},
}

func TestOnlyFollowUpsAreRewritten(t *testing.T) {
	t.Parallel()
	r := NewRewriter(nil, slog.New(slog.DiscardHandler))
	for question, leansOn := range map[string]bool{
		"How long does it take?": true, "And in spring?": true, "why?": true, "Tell me more about that": true, "Und warum?": true,
		"Which rivers does the herring avoid?":                                        false,
		"What is the capital of Norway?":                                              false,
		"How many kilowatt hours did the solar array of the terminal produce in 2025": false,
	} {
		got := r.Standalone(t.Context(), history, question)
		if leansOn != strings.Contains(got, "salmon") || !strings.HasSuffix(got, question) {
			t.Errorf("%q became %q", question, got)
		}
		if alone := r.Standalone(t.Context(), nil, question); alone != question {
			t.Errorf("without history %q became %q", question, alone)
		}
	}
}

// scripted answers with a text or an error.
type scripted struct {
	text string
	err  error
}

func (scripted) Info() llm.Info { return llm.Info{Provider: "script", Name: "script"} }

func (s scripted) Stream(_ context.Context, r llm.Request) iter.Seq2[llm.Delta, error] {
	return func(yield func(llm.Delta, error) bool) {
		if !strings.Contains(r.Messages[0].Text, "salmon") {
			yield(llm.Delta{}, errors.New("the conversation is missing"))
			return
		}
		if s.err != nil {
			yield(llm.Delta{}, s.err)
			return
		}
		for _, piece := range strings.SplitAfter(s.text, " ") {
			if !yield(llm.Delta{Text: piece}, nil) {
				return
			}
		}
		yield(llm.Delta{Finish: llm.Stopped}, nil)
	}
}

func TestAModelRewritesAndMayFail(t *testing.T) {
	t.Parallel()
	const asked = "How long does it take?"
	for name, c := range map[string]struct {
		model scripted
		want  string
	}{
		"a good rewrite":      {scripted{text: " \"How long does the salmon\n climb?\" "}, "How long does the salmon climb?"},
		"an error":            {scripted{err: errors.New("away")}, "What does the salmon do in autumn? " + asked},
		"nothing":             {scripted{text: "  "}, "What does the salmon do in autumn? " + asked},
		"an answer, not less": {scripted{text: strings.Repeat("word ", 400)}, "What does the salmon do in autumn? " + asked},
	} {
		r := NewRewriter(c.model, slog.New(slog.DiscardHandler))
		if got := r.Standalone(t.Context(), history, asked); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
