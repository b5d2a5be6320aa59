package openaillm

import (
	"net/http"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/shared"

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

func (m *Model) params(r llm.Request, d *dialect) openai.ChatCompletionNewParams {
	system := r.System
	if system == "" {
		system = plainSystem
	}
	p := openai.ChatCompletionNewParams{
		Model:    m.cfg.Model,
		Messages: append([]openai.ChatCompletionMessageParamUnion{openai.SystemMessage(system)}, messages(r.Messages)...),
	}
	answer := m.cfg.MaxTokens
	if r.MaxTokens > 0 {
		answer = r.MaxTokens
	}
	if d.completionTokens {
		p.MaxCompletionTokens = openai.Int(int64(m.known.Budget(answer)))
	} else {
		p.MaxTokens = openai.Int(int64(m.known.Budget(answer)))
	}
	if d.usage {
		p.StreamOptions.IncludeUsage = openai.Bool(true)
	}
	if d.temperature {
		temperature := DefaultTemperature
		if r.Temperature != nil {
			temperature = *r.Temperature
		}
		p.Temperature = openai.Float(temperature)
	}
	if d.effort {
		p.ReasoningEffort = shared.ReasoningEffort(m.known.Effort)
	}
	if len(r.Stop) > 0 {
		p.Stop.OfStringArray = r.Stop
	}
	return p
}

func messages(in []llm.Message) []openai.ChatCompletionMessageParamUnion {
	in = upstream.Alternate(in)
	out := make([]openai.ChatCompletionMessageParamUnion, len(in))
	for i, m := range in {
		if m.Role == llm.Assistant {
			out[i] = openai.AssistantMessage(m.Text)
		} else {
			out[i] = openai.UserMessage(m.Text)
		}
	}
	return out
}
