package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Meaning is what a provider's words add to the status of a refusal.
type Meaning uint8

// The meanings.
const (
	// Plain: the status says it all.
	Plain Meaning = iota
	// Overflow: prompt and answer do not fit into the context.
	Overflow
	// WrongKey: the credentials are refused, whatever the status.
	WrongKey
	// NoCredit: the account is empty; no pause helps.
	NoCredit
	// NoModel: the model does not exist, whatever the status.
	NoModel
	// Busy: overloaded or starting; may be there soon.
	Busy
	// SlowDown: a rate limit, whatever the status.
	SlowDown
	// Refused: the request is wrong, whatever the status.
	Refused
)

// Fault returns the classified error of a refusal. The pause is what the
// provider asked for, zero when it did not; the cause goes to the log and must
// not hold the key (see [Describe]).
func Fault(status int, meaning Meaning, pause time.Duration, cause error) error {
	if meaning == Plain {
		meaning = ofStatus(status)
	}
	pause = min(pause, MaxPause)
	switch meaning {
	case Overflow:
		return fault.Permanentf("prompt_too_long", "the question and its sources do not fit into the language model").WithCause(cause)
	case WrongKey:
		return fault.Permanentf("model_unauthorized", "the language model does not accept this server's credentials").WithCause(cause)
	case NoCredit:
		return fault.Permanentf("model_no_credit", "the account of the language model has no credit left").WithCause(cause)
	case NoModel:
		return fault.Permanentf("model_not_found", "the configured language model does not exist").WithCause(cause)
	case SlowDown:
		return fault.ThrottledFor(pause, cause)
	case Busy:
		if pause > 0 {
			return fault.ThrottledFor(pause, cause)
		}
		return Unavailable("the language model is not available at the moment", cause)
	case Plain, Refused:
	}
	return fault.Permanentf("model_refused", "the language model did not accept the request").WithCause(cause)
}

// ofStatus reads a status that comes without helpful words; Plain is a refusal for good.
func ofStatus(status int) Meaning {
	switch {
	case status == http.StatusTooManyRequests:
		return SlowDown
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return WrongKey
	case status == http.StatusPaymentRequired:
		return NoCredit
	case status == http.StatusNotFound:
		return NoModel
	case status == http.StatusRequestEntityTooLarge:
		return Overflow
	case status == http.StatusRequestTimeout, status == http.StatusConflict, status == http.StatusTooEarly,
		status == 499, status >= 500, status < 400:
		return Busy
	default:
		return Plain
	}
}

// NotTheAPI is the fault of a base URL behind which something else answers,
// a web page for example. The hint says what the URL usually looks like.
func NotTheAPI(hint string, cause error) error {
	return fault.Permanentf("model_protocol", "what answers at the language model's base URL does not stream answers; %s", hint).WithCause(cause)
}

// maxMessage bounds how much of a provider's message goes to the log.
const maxMessage = 200

// Describe writes the cause of a fault: who said what, cut short, without the
// key, which some proxies repeat.
func Describe(provider string, status int, kind, message, key string) error {
	text := fmt.Sprintf("%s: %d %s: %s", provider, status, kind, message)
	return errors.New(cut(Redact(strings.ToValidUTF8(text, ""), key)))
}

// Redact takes a key out of a text.
func Redact(text, key string) string {
	if key == "" {
		return text
	}
	return strings.ReplaceAll(text, key, "[redacted]")
}

func cut(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	at := maxMessage
	for !utf8.RuneStart(text[at]) {
		at--
	}
	return text[:at] + "…"
}

// CheckBaseURL returns what is wrong with the root of an API. The error never
// quotes it: whoever wrote a password there has a secret in it.
func CheckBaseURL(name, base string) error {
	u, err := url.Parse(base)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return fmt.Errorf("the %s is not an http or https URL", name)
	case u.User != nil:
		return fmt.Errorf("the %s holds credentials; give the key by its own setting", name)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return fmt.Errorf("the %s has a query or a fragment; give the root of the API only", name)
	}
	return nil
}

// CheckKey returns what is wrong with a key; an empty one is fine where none is needed.
func CheckKey(name, key string, needed bool) error {
	if key == "" && needed {
		return fmt.Errorf("the %s is empty", name)
	}
	for _, r := range key {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("the %s holds white space or characters that no key has", name)
		}
	}
	return nil
}
