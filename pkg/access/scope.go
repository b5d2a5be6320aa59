package access

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Scope is one thing that a caller may be allowed to do. A route names the
// scope that it needs.
type Scope string

// The scopes.
const (
	// Chat asks questions, searches, and reads the caller's own conversations.
	Chat Scope = "chat"
	// DocumentsRead lists documents and reads their content and chunks, as far
	// as the caller's principals see them.
	DocumentsRead Scope = "documents:read"
	// DocumentsWrite uploads, changes, retries and deletes documents. It
	// implies [DocumentsRead]: whoever replaces a document learns of it anyway.
	DocumentsWrite Scope = "documents:write"
	// Events sends events of pipelines and reads the events of the tenant.
	// It implies nothing: a pipeline need not read what it sends.
	Events Scope = "events"
	// Admin operates the tenant: dead letters, usage, what is not the caller's
	// own. It implies every other scope.
	Admin Scope = "admin"
)

// AllScopes returns every scope, in the order in which they are shown.
func AllScopes() []Scope { return []Scope{Chat, DocumentsRead, DocumentsWrite, Events, Admin} }

// bit returns the place of a scope in a set, 0 when it is not one.
func (s Scope) bit() Scopes {
	for i, known := range AllScopes() {
		if s == known {
			return 1 << i
		}
	}
	return 0
}

// implied returns what holding s lets its holder do, s included. This is the
// only place that says what implies what.
func (s Scope) implied() Scopes {
	switch s {
	case Admin:
		return 1<<len(AllScopes()) - 1
	case DocumentsWrite:
		return DocumentsWrite.bit() | DocumentsRead.bit()
	case Chat, DocumentsRead, Events:
		return s.bit()
	}
	return 0
}

// Scopes is a set of scopes. The zero value is empty and allows nothing. Its
// JSON is a list of names. Values are comparable.
type Scopes uint8

// NewScopes returns the set of the scopes; what is no scope is left out.
func NewScopes(scopes ...Scope) Scopes {
	var set Scopes
	for _, s := range scopes {
		set |= s.bit()
	}
	return set
}

// ParseScopes returns the set of the names. The error is an Invalid fault
// that names what is unknown.
func ParseScopes(names []string) (Scopes, error) {
	var set Scopes
	for _, name := range names {
		bit := Scope(name).bit()
		if bit == 0 {
			return 0, fault.Invalidf("invalid_scope", "%q is not a scope; use %s", name, strings.Join(scopeNames(AllScopes()), ", ")).WithField("scopes")
		}
		set |= bit
	}
	return set, nil
}

// Allow reports whether the set holds s or a scope that implies it.
func (set Scopes) Allow(s Scope) bool {
	bit := s.bit()
	if bit == 0 {
		return false
	}
	for _, held := range set.List() {
		if held.implied()&bit != 0 {
			return true
		}
	}
	return false
}

// List returns the scopes of the set, not what they imply.
func (set Scopes) List() []Scope {
	list := make([]Scope, 0, len(AllScopes()))
	for _, s := range AllScopes() {
		if set&s.bit() != 0 {
			list = append(list, s)
		}
	}
	return list
}

// String returns the names, separated by commas.
func (set Scopes) String() string { return strings.Join(scopeNames(set.List()), ",") }

// MarshalJSON writes the list of names.
func (set Scopes) MarshalJSON() ([]byte, error) {
	b, err := json.Marshal(set.List())
	if err != nil {
		return nil, fmt.Errorf("encode scopes: %w", err)
	}
	return b, nil
}

// UnmarshalJSON reads a list of names.
func (set *Scopes) UnmarshalJSON(b []byte) error {
	var names []string
	if err := json.Unmarshal(b, &names); err != nil {
		return fmt.Errorf("decode scopes: %w", err)
	}
	parsed, err := ParseScopes(names)
	*set = parsed
	return err
}

func scopeNames(scopes []Scope) []string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return names
}
