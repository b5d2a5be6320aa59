package backing

import (
	"errors"
	"strings"

	"github.com/ragbus/ragbus/pkg/config"
)

// unusable is an error that keeps a process from starting and that the value
// of a variable, or what it names, is the reason of.
type unusable struct {
	variable string
	err      error
}

// Unusable returns err as one that names a variable, for the start of a
// process: whether what it names is wrong, refuses or is away, an operator
// has to look at it. It returns nil for nil.
func Unusable(variable string, err error) error {
	if err == nil {
		return nil
	}
	return &unusable{variable: variable, err: err}
}

// IsUnusable reports whether err is, or wraps, one of [Unusable].
func IsUnusable(err error) bool {
	_, ok := errors.AsType[*unusable](err)
	return ok
}

// Error implements error.
func (e *unusable) Error() string {
	// A text that begins with a variable blames that one.
	if text := e.err.Error(); strings.Contains(text, e.variable) || strings.HasPrefix(text, config.Prefix) {
		return text
	}
	return e.variable + ": " + e.err.Error()
}

// Unwrap returns the error without the variable.
func (e *unusable) Unwrap() error { return e.err }
