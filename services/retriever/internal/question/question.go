// Package question makes a question stand alone: a follow-up such as "and
// what does it cost?" says nothing to a search engine without the
// conversation before it.
package question

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/llm"
)

// rewriteTimeout bounds what a reader waits for a better query.
const rewriteTimeout = 4 * time.Second

// maxQuery bounds a rewritten query, in bytes; a longer one is an answer, not a question.
const maxQuery = 600

// Rewriter makes questions stand alone. It is safe for concurrent use.
type Rewriter struct {
	// model rewrites when there is one; without it the rules do.
	model llm.Model
	log   *slog.Logger
}

// NewRewriter returns a Rewriter; model may be nil.
func NewRewriter(model llm.Model, log *slog.Logger) *Rewriter {
	return &Rewriter{model: model, log: log}
}

// Standalone returns what to search for when the last turn of a conversation
// is question. Without history, and for a question that needs none, that is
// the question itself. A model that fails or takes too long costs nothing but
// its advice: the rules stand in.
func (r *Rewriter) Standalone(ctx context.Context, history []event.Turn, question string) string {
	if len(history) == 0 || Courtesy(question) {
		return question
	}
	if r.model != nil {
		if q, ok := r.rewrite(ctx, history, question); ok {
			return q
		}
	}
	return byRules(history, question)
}

const instruction = `You turn the last question of a conversation into one stand-alone search query.
Replace pronouns and ellipses by what they refer to. Keep names, numbers and the language of the question.
Do not answer. Do not add what the conversation does not say. If the question already stands alone, repeat it unchanged.
Reply with the query only, on one line.`

func (r *Rewriter) rewrite(ctx context.Context, history []event.Turn, question string) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, rewriteTimeout)
	defer cancel()
	var conversation strings.Builder
	for _, t := range history {
		conversation.WriteString(t.Role + ": " + clip(t.Content, 1000) + "\n")
	}
	zero := 0.0
	var out strings.Builder
	for delta, err := range r.model.Stream(ctx, llm.Request{
		System:    instruction,
		Messages:  []llm.Message{{Role: llm.User, Text: "Conversation:\n" + conversation.String() + "\nLast question: " + question}},
		MaxTokens: 200, Temperature: &zero,
	}) {
		if err != nil {
			r.log.WarnContext(ctx, "the model did not rewrite the question, rules stand in", "error", err)
			return "", false
		}
		if out.WriteString(delta.Text); out.Len() > maxQuery {
			return "", false
		}
	}
	q := strings.Join(strings.Fields(strings.Trim(strings.TrimSpace(out.String()), `"`)), " ")
	return q, q != ""
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + " …"
}
