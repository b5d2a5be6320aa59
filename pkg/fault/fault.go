// Package fault classifies errors, so that code acts on a class and never on
// a message. Adapters classify what their vendor returned; callers read the
// class; only the gateway turns a class into an HTTP status.
//
// Every fault also has two texts: the cause, which is for logs, and an
// optional public code and message, which are fit for a stranger. A public
// message never holds a secret, an address or document content.
package fault

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Class says what may be done about an error.
type Class uint8

const (
	// Transient is the default: the same call may succeed later.
	Transient Class = iota
	// Invalid means the caller sent something wrong; repeating it is useless.
	Invalid
	// NotFound means the thing named does not exist for this caller.
	NotFound
	// Permanent means the work itself can never succeed, though the request was well formed.
	Permanent
	// Throttled means a dependency asked for a pause; see [RetryAfter].
	Throttled
)

// String returns the class in lower case, as used in logs and metrics.
func (c Class) String() string {
	switch c {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not_found"
	case Permanent:
		return "permanent"
	case Throttled:
		return "throttled"
	case Transient:
		return "transient"
	}
	return "transient"
}

// Error is a classified error. Build one with a constructor of this package.
type Error struct {
	class   Class
	code    string
	message string
	after   time.Duration
	field   string
	away    bool
	cause   error
}

// Error returns the cause's text when there is one, else the public message.
func (e *Error) Error() string {
	switch {
	case e.cause == nil:
		return e.message
	case e.message == "":
		return e.cause.Error()
	default:
		return e.message + ": " + e.cause.Error()
	}
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// ParseClass returns the class that [Class.String] wrote; what it does not know is Transient.
func ParseClass(s string) Class {
	for _, c := range []Class{Invalid, NotFound, Permanent, Throttled} {
		if c.String() == s {
			return c
		}
	}
	return Transient
}

// New returns a fault of any class with a public code and message, as read from the wire.
func New(class Class, code, message string) *Error {
	return &Error{class: class, code: code, message: message}
}

// Invalidf returns an Invalid fault with a stable snake_case code and a public message.
func Invalidf(code, format string, args ...any) *Error {
	return &Error{class: Invalid, code: code, message: fmt.Sprintf(format, args...)}
}

// NotFoundf returns a NotFound fault with a stable snake_case code and a public message.
func NotFoundf(code, format string, args ...any) *Error {
	return &Error{class: NotFound, code: code, message: fmt.Sprintf(format, args...)}
}

// Permanentf returns a Permanent fault with a stable snake_case code and a public message.
func Permanentf(code, format string, args ...any) *Error {
	return &Error{class: Permanent, code: code, message: fmt.Sprintf(format, args...)}
}

// Transientf returns a Transient fault with a stable snake_case code and a public message.
func Transientf(code, format string, args ...any) *Error {
	return &Error{class: Transient, code: code, message: fmt.Sprintf(format, args...)}
}

// ThrottledFor returns a Throttled fault: try again after d (zero: unknown).
func ThrottledFor(d time.Duration, cause error) *Error {
	return &Error{class: Throttled, code: "throttled", message: "a dependency asked for a pause", after: d, cause: cause}
}

// Throttledf returns a Throttled fault with its own code and public message: try again after d (zero: unknown).
func Throttledf(d time.Duration, code, format string, args ...any) *Error {
	return &Error{class: Throttled, code: code, message: fmt.Sprintf(format, args...), after: d}
}

// As gives an arbitrary error a class, keeping it as the cause. It returns nil for nil.
func As(class Class, cause error) error {
	if cause == nil {
		return nil
	}
	return &Error{class: class, cause: cause}
}

// WithCause returns a copy of e that keeps cause for the log.
func (e *Error) WithCause(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Away returns a copy of e that says that a part is away which everything
// needs: the work is not to blame, and waits until the part is back.
func (e *Error) Away() *Error {
	c := *e
	c.away = true
	return &c
}

// IsAway reports whether err, which repeating can help, says that a part is away.
func IsAway(err error) bool {
	if err == nil || !Retryable(err) {
		return false
	}
	var e *Error
	for cur := err; errors.As(cur, &e); cur = e.cause {
		if e.away {
			return true
		}
		if e.cause == nil {
			break
		}
	}
	return false
}

// WithField returns a copy of e that names the request field at fault.
func (e *Error) WithField(field string) *Error {
	c := *e
	c.field = field
	return &c
}

// Of returns the class of err: that of the outermost [Error] in its chain,
// else Transient. A nil error has no class; do not ask.
func Of(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.class
	}
	return Transient
}

// Is reports whether err is not nil and has the class.
func Is(err error, class Class) bool { return err != nil && Of(err) == class }

// Retryable reports whether repeating the work can help.
func Retryable(err error) bool {
	switch Of(err) {
	case Transient, Throttled:
		return true
	case Invalid, NotFound, Permanent:
		return false
	}
	return true
}

// RetryAfter returns the pause that a Throttled fault asked for, else zero.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.after
	}
	return 0
}

// Field returns the request field that err blames, or "".
func Field(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.field
	}
	return ""
}

// Public returns the code and message of err that a stranger may see. An
// error without a public text yields "internal" and a neutral sentence; an
// expired deadline yields "deadline_exceeded".
func Public(err error) (code, message string) {
	var e *Error
	for cur := err; errors.As(cur, &e); cur = e.cause {
		if e.code != "" {
			return e.code, e.message
		}
		if e.cause == nil {
			break
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "deadline_exceeded", "the work took longer than its deadline"
	}
	return "internal", "something went wrong on our side; the request id finds it in the logs"
}
