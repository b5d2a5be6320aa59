package openaillm

import (
	"net/http"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
	"github.com/ragbus/ragbus/pkg/llm/openaillm/internal/wire"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

// dialect is the set of optional parameters that a server takes. It never
// changes; a refusal leads to another one.
type dialect struct {
	// completionTokens sends max_completion_tokens, which OpenAI's reasoning
	// models insist on, in place of max_tokens, which everybody else knows.
	completionTokens bool
	// swapped says that the other one of the two was refused.
	swapped     bool
	usage       bool
	temperature bool
	effort      bool
}

func firstDialect(cfg Config, known modelcatalog.ChatModel) *dialect {
	return &dialect{
		completionTokens: cfg.official() || known.Effort != "",
		usage:            true,
		temperature:      known.Temperature,
		effort:           known.Effort != "",
	}
}

// without returns the dialect that lacks what the problem blames, or nil when
// it blames nothing that can be left out.
func (d *dialect) without(status int, p wire.Problem) *dialect {
	if status != http.StatusBadRequest && status != http.StatusUnprocessableEntity || !p.UnknownParameter() || p.Meaning() != upstream.Plain {
		return nil
	}
	next := *d
	switch p.Blames(d.names()) {
	case "max_tokens", "max_completion_tokens":
		if d.swapped {
			return nil
		}
		next.completionTokens, next.swapped = !d.completionTokens, true
	case "stream_options":
		next.usage = false
	case "temperature":
		next.temperature = false
	case "reasoning_effort":
		next.effort = false
	default:
		return nil
	}
	return &next
}

// names lists the optional parameters in use.
func (d *dialect) names() []string {
	names := []string{"max_tokens"}
	if d.completionTokens {
		names[0] = "max_completion_tokens"
	}
	for name, used := range map[string]bool{"stream_options": d.usage, "temperature": d.temperature, "reasoning_effort": d.effort} {
		if used {
			names = append(names, name)
		}
	}
	return names
}

// plainSystem is sent when there is no instruction: some chat templates
// otherwise bring one of their own.
const plainSystem = "Answer the user."

func (m *Model) request(r llm.Request, d *dialect) wire.Request {
	system := r.System
	if system == "" {
		system = plainSystem
	}
	in := wire.Request{
		Model:    m.cfg.Model,
		Messages: append([]wire.Message{{Role: "system", Content: system}}, messages(r.Messages)...),
		Stop:     r.Stop,
	}
	answer := m.cfg.MaxTokens
	if r.MaxTokens > 0 {
		answer = r.MaxTokens
	}
	if d.completionTokens {
		in.MaxCompletionTokens = m.known.Budget(answer)
	} else {
		in.MaxTokens = m.known.Budget(answer)
	}
	if d.usage {
		in.StreamOptions = &wire.StreamOptions{IncludeUsage: true}
	}
	if d.temperature {
		temperature := DefaultTemperature
		if r.Temperature != nil {
			temperature = *r.Temperature
		}
		in.Temperature = &temperature
	}
	if d.effort {
		in.ReasoningEffort = m.known.Effort
	}
	return in
}

func messages(in []llm.Message) []wire.Message {
	in = upstream.Alternate(in)
	out := make([]wire.Message, len(in))
	for i, m := range in {
		out[i] = wire.Message{Role: "user", Content: m.Text}
		if m.Role == llm.Assistant {
			out[i].Role = "assistant"
		}
	}
	return out
}
