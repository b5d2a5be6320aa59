package upstream

import (
	"strings"

	"github.com/ragbus/ragbus/pkg/llm"
)

// Alternate returns the messages in the form that every provider and every
// chat template takes: the user's first, roles in turn, none empty. Neighbours
// of one role are joined by an empty line, answers before the first question dropped.
func Alternate(in []llm.Message) []llm.Message {
	out := make([]llm.Message, 0, len(in))
	for _, m := range in {
		if strings.TrimSpace(m.Text) == "" || len(out) == 0 && m.Role == llm.Assistant {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Role == m.Role {
			out[n-1].Text += "\n\n" + m.Text
			continue
		}
		out = append(out, m)
	}
	return out
}
