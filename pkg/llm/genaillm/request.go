package genaillm

import (
	"strings"

	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/llm"
)

func contents(r llm.Request) []*genai.Content {
	out := make([]*genai.Content, 0, len(r.Messages))
	for _, msg := range r.Messages {
		role := genai.Role(genai.RoleUser)
		if msg.Role == llm.Assistant {
			role = genai.RoleModel
		}
		out = append(out, genai.NewContentFromText(msg.Text, role))
	}
	return out
}

func (m *Model) settings(r llm.Request) *genai.GenerateContentConfig {
	s := &genai.GenerateContentConfig{
		MaxOutputTokens: int32(min(m.cfg.MaxTokens, 1<<20)),
		Temperature:     genai.Ptr[float32](DefaultTemperature),
		StopSequences:   r.Stop,
		ThinkingConfig:  thinking(m.cfg.Model),
	}
	if r.MaxTokens > 0 {
		s.MaxOutputTokens = int32(min(r.MaxTokens, 1<<20))
	}
	if r.Temperature != nil {
		s.Temperature = new(float32(*r.Temperature))
	}
	if r.System != "" {
		s.SystemInstruction = genai.NewContentFromText(r.System, genai.RoleUser)
	}
	return s
}

// thinking asks for little of it: the sources are in the prompt, and the
// reader waits. Generation 2 takes a budget in tokens, later ones a level;
// models that are not Gemini (Gemma behind the same API) take neither.
func thinking(model string) *genai.ThinkingConfig {
	switch {
	case strings.HasPrefix(model, "gemini-2.5"):
		return &genai.ThinkingConfig{ThinkingBudget: genai.Ptr[int32](512)}
	case strings.HasPrefix(model, "gemini-2"), !strings.HasPrefix(model, "gemini-"):
		return nil
	default:
		return &genai.ThinkingConfig{ThinkingLevel: genai.ThinkingLevelLow}
	}
}
