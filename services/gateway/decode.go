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
	if err := checkNested(f.name, value); err != nil {
		return err
	}
	err := json.Unmarshal(value, f.into)
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok { // a type with rules of its own, such as a filter
		return err
	}
	// Of the destination, not of what in it was wrong: that may be an element of a list.
	return fault.Invalidf("invalid_type", "%s must be %s", f.name, jsonType(reflect.TypeOf(f.into).Elem())).WithField(f.name)
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
