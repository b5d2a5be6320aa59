package genaillm

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/llm/internal/upstream"
)

// failure classifies what went wrong with a call; nil when nothing did. What
// the wire says comes first: the SDK says less, and quotes whole events,
// which are content.
func (m *Model) failure(call *upstream.Call, err error) error {
	if why := call.Interrupted(); why != nil {
		return why
	}
	if r := call.Refusal(); r != nil {
		p := readProblem(r.Body)
		if p.Status == "" && r.Status < http.StatusMultipleChoices {
			return upstream.NotTheAPI("it usually has no path", upstream.Describe("gemini", r.Status, r.MediaType, "", m.cfg.APIKey))
		}
		return p.fault(r.Status, r.Pause, m.cfg.APIKey)
	}
	if api, ok := errors.AsType[genai.APIError](err); ok {
		p := problem{Code: api.Code, Status: api.Status, Message: api.Message, Details: api.Details}
		return p.fault(api.Code, 0, m.cfg.APIKey)
	}
	if why := call.Broken(); why != nil {
		// The SDK saw a complete body and complains about its last, cut event, if at all.
		return upstream.Unavailable("the language model's answer broke off", fmt.Errorf("gemini: %w", why))
	}
	if err != nil {
		return upstream.Unavailable("the language model is not reachable or its answer cannot be read", readError(err, m.cfg.APIKey))
	}
	return nil
}

// problem is a google.rpc.Status as the API sends it.
type problem struct {
	Code    int              `json:"code"`
	Status  string           `json:"status"`
	Message string           `json:"message"`
	Details []map[string]any `json:"details"`
}

// readProblem reads an error body; streams have it in an array. What is no
// error object is an empty problem, and its status has to do.
func readProblem(body []byte) problem {
	var one struct {
		Error problem `json:"error"`
	}
	if json.Unmarshal(body, &one) == nil {
		return one.Error
	}
	var many []struct {
		Error problem `json:"error"`
	}
	if json.Unmarshal(body, &many) == nil && len(many) > 0 {
		return many[0].Error
	}
	return problem{}
}

func (p problem) fault(status int, pause time.Duration, key string) error {
	cause := upstream.Describe("gemini", status, p.Status, p.Message, key)
	return upstream.Fault(status, p.meaning(status), max(pause, p.retryInfo()), cause)
}

func (p problem) meaning(status int) upstream.Meaning {
	message := strings.ToLower(p.Message)
	if p.reason("API_KEY_INVALID") || status == http.StatusBadRequest && strings.Contains(message, "api key") {
		return upstream.WrongKey
	}
	if status == http.StatusBadRequest && (strings.Contains(message, "token count") || strings.Contains(message, "exceeds the maximum number of tokens")) {
		return upstream.Overflow
	}
	return upstream.Plain
}

func (p problem) reason(want string) bool {
	for _, d := range p.Details {
		if reason, ok := d["reason"].(string); ok && reason == want {
			return true
		}
	}
	return false
}

// retryInfo returns the delay of a google.rpc.RetryInfo detail, else zero.
func (p problem) retryInfo() time.Duration {
	for _, d := range p.Details {
		kind, _ := d["@type"].(string)
		delay, _ := d["retryDelay"].(string)
		if !strings.HasSuffix(kind, "google.rpc.RetryInfo") {
			continue
		}
		if pause, err := time.ParseDuration(delay); err == nil && pause > 0 {
			return pause
		}
	}
	return 0
}

// readError keeps what says how the connection failed, and drops the SDK's
// own complaints, which quote what they could not read.
func readError(err error, key string) error {
	if errors.Is(err, errShape) {
		return err
	}
	if strings.Contains(err.Error(), "iterateResponseStream") || strings.Contains(err.Error(), "unmarshal") {
		return errors.New("gemini sent an event that is not JSON")
	}
	return errors.New("gemini: " + upstream.Redact(err.Error(), key))
}
