package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// maxDepth bounds how deep objects and lists of a request nest.
const maxDepth = 32

// field ties a name in a JSON object to where its value goes.
type field struct {
	name string
	into any
}

// decodeObject reads a JSON object strictly: UTF-8, one object and nothing
// after it, names exactly as listed and each at most once, types as the
// destinations say, null where nothing was said. Every complaint is an
// Invalid fault that names the field. present tells which names came.
func decodeObject(data []byte, fields ...field) (present map[string]bool, err error) {
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	present = make(map[string]bool, len(fields))
	ok := members(data, func(key, value []byte) bool {
		var name string
		if json.Unmarshal(key, &name) != nil {
			return false
		}
		if present[name] {
			err = fault.Invalidf("duplicate_field", "the field %q comes twice", shown(name)).WithField(shown(name))
			return false
		}
		for _, f := range fields {
			if f.name == name {
				present[name] = true
				err = decodeField(f, value)
				return err == nil
			}
		}
		err = fault.Invalidf("unknown_field", "the field %q is not known here", shown(name)).WithField(shown(name))
		return false
	})
	if err == nil && !ok {
		err = fault.Invalidf("invalid_json", "the body is not a JSON object")
	}
	return present, err
}

// decodeField reads one value and says which type was expected.
func decodeField(f field, value []byte) error {
	err := json.Unmarshal(value, f.into)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok { // a type with rules of its own, such as a filter
		return err
	}
	name := f.name
	want := jsonType(reflect.TypeOf(f.into).Elem())
	if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if te.Field != "" {
			name += "." + te.Field
		}
		want = jsonType(te.Type)
	}
	return fault.Invalidf("invalid_type", "%s must be %s", name, want).WithField(name)
}

func jsonType(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() { //nolint:exhaustive // the rest are objects
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list of which every element is " + jsonType(t.Elem())
	}
	return "an object"
}

// checkJSON refuses what is not well-formed JSON in UTF-8 within the depth.
func checkJSON(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return fault.Invalidf("empty_body", "the request has no body; send a JSON object")
	}
	if !utf8.Valid(data) {
		return fault.Invalidf("invalid_utf8", "the body is not valid UTF-8")
	}
	// Depth first: the decoder recurses, this does not.
	if depth(data) > maxDepth {
		return fault.Invalidf("too_deep", "the body nests deeper than %d levels", maxDepth)
	}
	if !json.Valid(data) {
		return fault.Invalidf("invalid_json", "the body is not valid JSON%s", where(data))
	}
	return nil
}

// where locates the first thing wrong, without quoting it.
func where(data []byte) string {
	var v json.RawMessage
	var se *json.SyntaxError
	if err := json.Unmarshal(data, &v); errors.As(err, &se) {
		return fmt.Sprintf(": look at byte %d", se.Offset)
	}
	return ""
}

// depth returns how deep the brackets outside of strings nest.
func depth(data []byte) int {
	deepest, now, inString := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

// members calls visit with every key (quotes included) and value of the
// outermost JSON object, in order, without decoding either, until visit
// returns false. It reports whether data is an object and was visited whole.
// Values are delimited, not validated.
func members(data []byte, visit func(key, value []byte) bool) bool {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return false
	}
	i = skipSpace(data, i+1)
	if i < len(data) && data[i] == '}' {
		return skipSpace(data, i+1) == len(data)
	}
	for i < len(data) {
		keyEnd := skipValue(data, i)
		if keyEnd < 0 || data[i] != '"' {
			return false
		}
		colon := skipSpace(data, keyEnd)
		if colon >= len(data) || data[colon] != ':' {
			return false
		}
		start := skipSpace(data, colon+1)
		end := skipValue(data, start)
		if end < 0 || !visit(data[i:keyEnd], data[start:end]) {
			return false
		}
		i = skipSpace(data, end)
		if i >= len(data) {
			return false
		}
		if data[i] == '}' {
			return skipSpace(data, i+1) == len(data)
		}
		if data[i] != ',' {
			return false
		}
		i = skipSpace(data, i+1)
	}
	return false
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the index after the value that begins at i, or -1.
func skipValue(data []byte, i int) int {
	open, start := 0, i
	for i < len(data) {
		switch c := data[i]; c {
		case '"':
			if i = skipString(data, i); i < 0 || open == 0 {
				return i
			}
			continue
		case '{', '[':
			open++
		case '}', ']', ',', ' ', '\n', '\t', '\r':
			if open == 0 { // the end of a number or a word
				return orNone(i, start)
			}
			if c == '}' || c == ']' {
				if open--; open == 0 {
					return i + 1
				}
			}
		}
		i++
	}
	if open > 0 {
		return -1
	}
	return orNone(i, start)
}

// skipString returns the index after the string that begins at i, or -1.
// Nearly all of an answer is strings, and most of these have no escapes.
func skipString(data []byte, i int) int {
	for i++; ; i++ {
		end := bytes.IndexByte(data[i:], '"')
		if end < 0 {
			return -1
		}
		escapes := 0
		for end > escapes && data[i+end-escapes-1] == '\\' {
			escapes++
		}
		i += end
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

func orNone(end, start int) int {
	if end == start {
		return -1
	}
	return end
}

// shown bounds what of a caller's text comes back in a message.
func shown(s string) string {
	const limit = 64
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
