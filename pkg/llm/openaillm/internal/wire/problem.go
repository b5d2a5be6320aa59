// Package wire is OpenAI's chat completions on the wire: the one request, the
// events of an answer, and what compatible servers do differently in them:
// errors of many shapes, and thinking that is left in the text.
package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// Problem is an error as one of the many servers words it.
type Problem struct {
	// worded is false when the body holds no error object at all.
	worded  bool
	message string
	kind    string
	code    string
	param   string
}

// ReadProblem understands OpenAI's object, a bare string in its place, and
// the flat forms of older vLLM and of FastAPI. A code may be of any type.
func ReadProblem(body []byte) Problem {
	var outer struct {
		Error   json.RawMessage `json:"error"`
		Object  string          `json:"object"`
		Message json.RawMessage `json:"message"`
		Type    json.RawMessage `json:"type"`
		Code    json.RawMessage `json:"code"`
		Param   json.RawMessage `json:"param"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &outer) != nil {
		return Problem{}
	}
	switch {
	case len(outer.Error) > 0 && outer.Error[0] == '{':
		inner := Problem{}
		var object map[string]json.RawMessage
		if json.Unmarshal(outer.Error, &object) == nil {
			inner = Problem{worded: true, message: text(object["message"]), kind: text(object["type"]), code: text(object["code"]), param: text(object["param"])}
		}
		return inner
	case len(outer.Error) > 0 && outer.Error[0] == '"':
		return Problem{worded: true, message: text(outer.Error)}
	case outer.Object == "error", len(outer.Message) > 0 && len(outer.Code) > 0:
		return Problem{worded: true, message: text(outer.Message), kind: text(outer.Type), code: text(outer.Code), param: text(outer.Param)}
	case len(outer.Detail) > 0:
		return Problem{worded: true, message: text(outer.Detail)}
	}
	return Problem{}
}

// text returns a JSON string's content, and anything else as it is written; null is "".
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// UnknownParameter reports whether the server refuses a parameter as such,
// rather than its value.
func (p Problem) UnknownParameter() bool {
	switch p.code {
	case "unsupported_parameter", "unknown_parameter", "unsupported_value":
		return true
	}
	return contains(p.message, "unsupported parameter", "unsupported value", "unrecognized", "unknown parameter", "unknown field", "unexpected keyword",
		"extra inputs", "extra fields", "extra_forbidden", "not permitted", "is not supported", "does not support", "not allowed", "only the default")
}

// Blames returns which of the names the problem is about, or "".
func (p Problem) Blames(names []string) string {
	found, at := "", len(p.message)+1
	for _, name := range names {
		if p.param == name || strings.HasPrefix(p.param, name+".") {
			return name
		}
		// Messages that propose a replacement name what they blame first.
		if i := strings.Index(p.message, name); i >= 0 && i < at {
			found, at = name, i
		}
	}
	return found
}

// Filtered reports whether the prompt or the answer was refused for its content.
func (p Problem) Filtered() bool {
	switch p.code {
	case "content_filter", "content_policy_violation", "moderation_blocked":
		return true
	}
	return p.kind == "content_filter"
}

// Meaning returns what the words add to the status.
func (p Problem) Meaning() upstream.Meaning {
	switch {
	case p.code == "context_length_exceeded", p.kind == "exceed_context_size_error",
		contains(p.message, "context length", "context size", "context window", "prompt is too long", "input is too long"):
		return upstream.Overflow
	case p.code == "insufficient_quota", p.kind == "insufficient_quota", p.code == "billing_hard_limit_reached", p.code == "billing_not_active":
		return upstream.NoCredit
	case p.code == "invalid_api_key", p.kind == "authentication_error":
		return upstream.WrongKey
	case p.code == "model_not_found":
		return upstream.NoModel
	case p.code == "rate_limit_exceeded", p.kind == "rate_limit_error":
		return upstream.SlowDown
	case p.kind == "unavailable_error", p.kind == "overloaded_error", p.kind == "server_error", p.code == "server_error":
		return upstream.Busy
	}
	return upstream.Plain
}

// Fault classifies a refusal.
func (p Problem) Fault(r *upstream.Refusal, key string) error {
	cause := upstream.Describe("openai", r.Status, p.kind+" "+p.code, p.message, key)
	elsewhere := r.Status < http.StatusMultipleChoices || r.Status == http.StatusNotFound || r.Status == http.StatusMethodNotAllowed
	if !p.worded && elsewhere {
		return upstream.NotTheAPI("it usually ends in /v1", cause)
	}
	status := r.Status
	if status < http.StatusMultipleChoices {
		status = p.status()
	}
	return upstream.Fault(status, p.Meaning(), r.Pause, cause)
}

// StreamFault classifies an error inside a stream, which has no status but its code.
func (p Problem) StreamFault(key string) error {
	meaning := p.Meaning()
	if meaning == upstream.Plain && p.kind == "invalid_request_error" {
		meaning = upstream.Refused
	}
	return upstream.Fault(p.status(), meaning, 0, upstream.Describe("openai", p.status(), p.kind+" "+p.code, p.message, key))
}

// status returns the code if it is an HTTP status, as llama.cpp and some
// gateways send it, else 500: what fails without saying why may work again.
func (p Problem) status() int {
	if n, err := strconv.Atoi(p.code); err == nil && n >= 400 && n < 600 {
		return n
	}
	return http.StatusInternalServerError
}

func contains(message string, parts ...string) bool {
	message = strings.ToLower(message)
	for _, part := range parts {
		if strings.Contains(message, part) {
			return true
		}
	}
	return false
}
