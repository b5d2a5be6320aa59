package genaillm

import (
	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
	"github.com/ragbus/ragbus/pkg/modelcatalog"
)

func contents(r llm.Request) []*genai.Content {
	out := make([]*genai.Content, 0, len(r.Messages))
	for _, msg := range upstream.Alternate(r.Messages) {
		role := genai.Role(genai.RoleUser)
		if msg.Role == llm.Assistant {
			role = genai.RoleModel
		}
		out = append(out, genai.NewContentFromText(msg.Text, role))
	}
	return out
}

func (m *Model) settings(r llm.Request) *genai.GenerateContentConfig {
	answer := m.cfg.MaxTokens
	if r.MaxTokens > 0 {
		answer = r.MaxTokens
	}
	s := &genai.GenerateContentConfig{
		MaxOutputTokens: int32(min(m.known.Budget(answer), 1<<20)),
		StopSequences:   r.Stop,
		ThinkingConfig:  thinking(m.known),
	}
	if m.known.Temperature {
		temperature := DefaultTemperature
		if r.Temperature != nil {
			temperature = *r.Temperature
		}
		s.Temperature = new(float32(temperature))
	}
	if r.System != "" {
		s.SystemInstruction = genai.NewContentFromText(r.System, genai.RoleUser)
	}
	return s
}

// thinking asks for little of it: the sources are in the prompt, and the
// reader waits. Generation 2.5 takes a budget in tokens, later ones a level;
// models that are not Gemini (Gemma behind the same API) take neither.
func thinking(known modelcatalog.ChatModel) *genai.ThinkingConfig {
	switch {
	case known.ThinkingTokens > 0:
		return &genai.ThinkingConfig{ThinkingBudget: new(int32(min(known.ThinkingTokens, 1<<20)))}
	case known.Effort != "":
		return &genai.ThinkingConfig{ThinkingLevel: genai.ThinkingLevelLow}
	default:
		return nil
	}
}
