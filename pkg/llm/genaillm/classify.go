package genaillm

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genai"

	"github.com/ragbus/ragbus/pkg/fault"
)

// maxPause bounds the delay that is believed of a service.
const maxPause = time.Hour

// classify gives an error of the SDK its class by HTTP status. What becomes
// the cause is written anew: the SDK quotes whole events, which are content,
// and a proxy may quote the key.
func classify(err error, retryAfter time.Duration, key string) error {
	var api genai.APIError
	if !errors.As(err, &api) {
		return fault.Transientf("model_unavailable", "the language model is not reachable").WithCause(transportCause(err))
	}
	cause := errors.New(describe(api, key))
	pause := min(max(retryInfo(api), retryAfter), maxPause)
	switch {
	case api.Code == http.StatusTooManyRequests:
		return fault.ThrottledFor(pause, cause)
	case api.Code == http.StatusServiceUnavailable && pause > 0:
		return fault.ThrottledFor(pause, cause)
	case api.Code == http.StatusUnauthorized, api.Code == http.StatusForbidden, wrongKey(api):
		return fault.Permanentf("model_unauthorized", "the language model does not accept this server's credentials").WithCause(cause)
	case api.Code == http.StatusNotFound:
		return fault.Permanentf("model_not_found", "the configured language model does not exist").WithCause(cause)
	case api.Code == http.StatusBadRequest && tooLong(api):
		return fault.Permanentf("prompt_too_long", "the question and its sources do not fit into the language model").WithCause(cause)
	case api.Code == http.StatusRequestTimeout, api.Code == 499, api.Code >= 500 || api.Code < 400:
		return fault.Transientf("model_unavailable", "the language model is not available at the moment").WithCause(cause)
	default:
		return fault.Permanentf("model_refused", "the language model did not accept the request").WithCause(cause)
	}
}

func wrongKey(e genai.APIError) bool {
	for _, d := range e.Details {
		if reason, ok := d["reason"].(string); ok && reason == "API_KEY_INVALID" {
			return true
		}
	}
	return e.Code == http.StatusBadRequest && strings.Contains(strings.ToLower(e.Message), "api key")
}

func tooLong(e genai.APIError) bool {
	msg := strings.ToLower(e.Message)
	return strings.Contains(msg, "token count") || strings.Contains(msg, "exceeds the maximum number of tokens")
}

// retryInfo returns the delay of a google.rpc.RetryInfo detail, else zero.
func retryInfo(e genai.APIError) time.Duration {
	for _, d := range e.Details {
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

// maxMessage bounds how much of a service's message goes to the log.
const maxMessage = 200

func describe(e genai.APIError, key string) string {
	msg := strings.ToValidUTF8(e.Message, "")
	if key != "" {
		msg = strings.ReplaceAll(msg, key, "[redacted]")
	}
	if len(msg) > maxMessage {
		cut := maxMessage
		for !utf8.RuneStart(msg[cut]) {
			cut--
		}
		msg = msg[:cut] + "…"
	}
	return fmt.Sprintf("gemini: %d %s: %s", e.Code, strings.ReplaceAll(e.Status, key, "[redacted]"), msg)
}

// transportCause keeps what says how the connection failed, and drops the
// SDK's own complaints, which quote what they could not read.
func transportCause(err error) error {
	if strings.Contains(err.Error(), "iterateResponseStream") || strings.Contains(err.Error(), "unmarshal") {
		return errors.New("gemini sent an event that is not JSON")
	}
	return fmt.Errorf("gemini: %w", err)
}
