package anthropicllm

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// problem is the API's error object.
type problem struct {
	kind    string
	message string
}

// readProblem reads an error body or the data of an error event; what is no
// error object is an empty problem, and its status has to do.
func readProblem(body []byte) problem {
	var outer struct {
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return problem{}
	}
	return problem{kind: outer.Error.Type, message: outer.Error.Message}
}

// blocked reports whether prompt or answer were refused for their content.
func (p problem) blocked() bool {
	return strings.Contains(strings.ToLower(p.message), "content filtering policy")
}

func (p problem) fault(status int, pause time.Duration, key string) error {
	cause := upstream.Describe("anthropic", status, p.kind, p.message, key)
	return upstream.Fault(status, p.meaning(), pause, cause)
}

func (p problem) meaning() upstream.Meaning {
	message := strings.ToLower(p.message)
	switch p.kind {
	case "rate_limit_error":
		return upstream.SlowDown
	case "authentication_error", "permission_error":
		return upstream.WrongKey
	case "billing_error":
		return upstream.NoCredit
	case "not_found_error":
		return upstream.NoModel
	case "request_too_large":
		return upstream.Overflow
	case "overloaded_error", "api_error", "timeout_error":
		return upstream.Busy
	case "invalid_request_error":
		switch {
		case strings.Contains(message, "prompt is too long"), strings.Contains(message, "exceed context limit"), strings.Contains(message, "context window"):
			return upstream.Overflow
		case strings.Contains(message, "credit balance"):
			return upstream.NoCredit
		}
		return upstream.Refused
	}
	return upstream.Plain
}
