package generator

import (
	"context"
	"slices"
	"strings"

	"github.com/ragbus/ragbus/pkg/conversation"
	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/pkg/llm"

	"github.com/ragbus/ragbus/services/generator/internal/answer"
	"github.com/ragbus/ragbus/services/generator/internal/extractive"
	"github.com/ragbus/ragbus/services/generator/internal/phrase"
	"github.com/ragbus/ragbus/services/generator/internal/prompt"
)

// write makes the answer and speaks it as it goes. With an error the outcome
// holds what was written so far.
func (s *Service) write(ctx context.Context, d delivery, speaker *speaker) (outcome, error) {
	if ctx.Err() != nil {
		return outcome{}, fault.As(fault.Transient, context.Cause(ctx))
	}
	switch {
	case !answerable(d):
		return s.abstain(d, speaker), nil
	case !s.pays(d):
		return s.writeExtract(ctx, d, speaker)
	}
	out, err := s.writeModel(ctx, d, speaker)
	if err == nil || !s.fallback || out.text != "" || ctx.Err() != nil {
		return out, err
	}
	code, _ := fault.Public(err)
	s.log.WarnContext(ctx, "no model answers, the extractive writer does", "chat_id", d.Data.Asked.ID, "code", code)
	out, err = s.writeExtract(ctx, d, speaker)
	out.model = extractive.Name
	return out, err
}

// question is what is answered: as it was asked, unless only the searched one stands alone.
func question(d delivery) string { return d.Data.Asked.Question }

func answerable(d delivery) bool { return d.Data.Relevant && !d.Data.Passages.IsZero() }

// pays reports whether a model is asked.
func (s *Service) pays(d delivery) bool { return s.model != nil && answerable(d) }

func (s *Service) abstain(d delivery, speaker *speaker) outcome {
	text := phrase.For(question(d)).NoAnswer
	speaker.say(text)
	return outcome{status: conversation.Completed, text: text, reason: conversation.NoRelevantPassages}
}

// writeExtract answers in the passages' own words. Follow-ups are answered by
// the stand-alone question that was searched.
func (s *Service) writeExtract(ctx context.Context, d delivery, speaker *speaker) (outcome, error) {
	asked := extractive.Asked{Question: question(d)}
	if q := d.Data.SearchQuery; q != "" && q != asked.Question {
		asked = extractive.Asked{Question: q, Turn: asked.Question}
	}
	draft, ok := s.extract.Answer(asked, d.Data.Passages.List())
	if ctx.Err() != nil {
		return outcome{}, fault.As(fault.Transient, context.Cause(ctx))
	}
	if !ok {
		return s.abstain(d, speaker), nil
	}
	for _, part := range draft.Parts {
		speaker.say(part)
	}
	return outcome{status: conversation.Completed, text: draft.Text, citations: draft.Citations, grounded: true}, nil
}

// errNothing is what a model that ends without a word is taken for.
func errNothing() error {
	return fault.Transientf("model_unavailable", "the language model gave no answer")
}

func (s *Service) writeModel(ctx context.Context, d delivery, speaker *speaker) (outcome, error) {
	request, shown, err := prompt.Build(prompt.Input{
		Question: question(d), Passages: d.Data.Passages.List(), History: d.Data.History,
		ContextTokens: s.model.Info().ContextTokens, AnswerTokens: s.cfg.AnswerTokens, Boundary: prompt.NewBoundary(),
	})
	if err != nil {
		return outcome{}, err
	}
	if *s.cfg.Temperature >= 0 {
		request.Temperature = s.cfg.Temperature
	}
	request.Rest = func() { speaker.rest(ctx) }
	var (
		parser = answer.Parser{Sources: shown}
		text   strings.Builder
		last   llm.Delta
	)
	take := func(piece string) {
		text.WriteString(piece)
		speaker.say(piece)
	}
	for delta, err := range s.model.Stream(ctx, request) {
		if err != nil {
			return outcome{text: strings.TrimSpace(text.String())}, err
		}
		take(parser.Write(delta.Text))
		if delta.Finish != "" {
			last = delta
		}
	}
	take(parser.Close())
	if last.Finish == llm.Truncated {
		if text.Len() == 0 {
			return outcome{}, errNothing()
		}
		take(" …")
	}
	out := outcome{status: conversation.Completed, text: text.String(), usage: usageOf(last.Usage), model: last.Model}
	s.judge(ctx, d, speaker, &out, last.Finish, parser.Abstained())
	return out, nil
}

func usageOf(u llm.Usage) conversation.Usage {
	return conversation.Usage{PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens, TotalTokens: u.PromptTokens + u.CompletionTokens}
}

// breakOff makes what was written of a cancelled answer the answer: its reader
// keeps it, with the citations that hold so far.
func (s *Service) breakOff(ctx context.Context, d delivery, out *outcome) {
	out.status = conversation.Cancelled
	if out.text == "" {
		return
	}
	citations := s.checker.Check(context.WithoutCancel(ctx), question(d), out.text, d.Data.Passages.List())
	if supported(citations) {
		out.citations, out.grounded = citations, true
	}
}

// judge decides what a finished text is worth. Text that nothing supports,
// or that the provider cut for its content, is replaced by a sentence that
// says so: whoever has been shown it starts over.
func (s *Service) judge(ctx context.Context, d delivery, speaker *speaker, out *outcome, finish llm.Finish, abstained bool) {
	replace := func(text, reason string) {
		out.text, out.reason, out.citations, out.replaced = text, reason, nil, true
	}
	if finish == llm.Filtered {
		replace(phrase.For(question(d)).Blocked, conversation.Blocked)
		return
	}
	citations := s.checker.Check(ctx, question(d), out.text, d.Data.Passages.List())
	if supported(citations) {
		out.citations, out.grounded = citations, true
		return
	}
	phrases := phrase.For(question(d))
	switch {
	case out.text == "" && abstained:
		speaker.say(phrases.NoAnswer)
		out.text, out.reason = phrases.NoAnswer, conversation.NoRelevantPassages
	case len(citations) == 0 && (abstained || phrase.Refuses(out.text)):
		out.reason = conversation.NoRelevantPassages
	case abstained:
		replace(phrases.NoAnswer, conversation.NoRelevantPassages)
	default:
		replace(phrases.Unsupported, conversation.UnsupportedAnswer)
	}
}

func supported(citations []conversation.Citation) bool {
	return slices.ContainsFunc(citations, func(c conversation.Citation) bool { return c.Supported })
}
