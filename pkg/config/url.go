package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// URL is an address, or several joined by commas, that may hold a password: in
// the part before the @ or in the query. Those are never printed, not by fmt,
// not by slog, not as JSON; the rest is, so that people see where they connect
// to. A text that cannot be read as addresses is not printed at all: nobody
// knows which part of it is the password.
type URL string

// Reveal returns the address itself, for the one call that needs it.
func (u URL) Reveal() string { return string(u) }

// String returns the address without its secrets.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	parts := strings.Split(string(u), ",")
	for i, part := range parts {
		shown, ok := withoutSecrets(strings.TrimSpace(part))
		if !ok {
			return redacted
		}
		parts[i] = shown
	}
	return strings.Join(parts, ",")
}

func withoutSecrets(raw string) (shown string, ok bool) {
	if !strings.Contains(raw, "://") {
		return raw, !strings.ContainsAny(raw, "@?#")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || strings.ContainsAny(u.EscapedPath(), "@") {
		return "", false
	}
	shown = u.Scheme + "://"
	if u.User != nil {
		shown += redacted + "@"
	}
	shown += u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		shown += "?" + redacted
	}
	if u.Fragment != "" {
		shown += "#" + redacted
	}
	return shown, true
}

// GoString returns what String returns.
func (u URL) GoString() string { return u.String() }

// LogValue returns what String returns.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalJSON writes what String returns.
func (u URL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// Check returns what is wrong with the shape of an address of one of the
// schemes, nil for an empty one. The error does not quote it.
func (u URL) Check(schemes ...string) error {
	for part := range strings.SplitSeq(string(u), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if err := checkURL(part, schemes); err != nil {
			return err
		}
	}
	return nil
}

func checkURL(raw string, schemes []string) error {
	form := "use " + strings.Join(schemes, ":// or ") + "://host:port"
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("this is not a URL; " + form + ", and percent-encode special characters in user and password")
	}
	if !strings.Contains(raw, "://") || u.Host == "" {
		return errors.New("this is not a whole URL; " + form)
	}
	if !slices.Contains(schemes, u.Scheme) {
		return fmt.Errorf("the scheme %q is not known; %s", u.Scheme, form)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return errors.New("the port is not in 1 to 65535; " + form)
		}
	}
	return nil
}
