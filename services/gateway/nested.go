package gateway

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/fault"
)

// checkNested refuses, inside a field's object or list, names that come twice
// and numbers that would change: what nests is metadata or a condition on it,
// and numbers there are kept as float64. The value is well-formed JSON.
func checkNested(name string, value []byte) error {
	if value = bytes.TrimSpace(value); value[0] != '{' && value[0] != '[' {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	return checkNext(dec, name)
}

// checkNext checks the next value, whose place in the request is path. An
// element of a list has the list's.
func checkNext(dec *json.Decoder, path string) error {
	token, err := dec.Token()
	if err != nil {
		return fault.As(fault.Invalid, err)
	}
	if n, ok := token.(json.Number); ok {
		return checkNumber(path, n)
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for dec.More() {
		at := path
		if open == '{' {
			name, err := dec.Token()
			if err != nil {
				return fault.As(fault.Invalid, err)
			}
			at += "." + name.(string) //nolint:forcetypeassert // a name in an object is a string
			if seen[at] {
				return fault.Invalidf("duplicate_field", "the field %q comes twice", shown(at)).WithField(shown(at))
			}
			seen[at] = true
		}
		if err := checkNext(dec, at); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil { // what closes it
		return fault.As(fault.Invalid, err)
	}
	return nil
}

// checkNumber refuses what a float64 cannot hold: a number beyond its range,
// and a whole one that it would round, such as an id of 19 digits. One with a
// point or an exponent is the nearest float64 by custom.
func checkNumber(path string, n json.Number) error {
	f, err := n.Float64()
	rounds := !strings.ContainsAny(n.String(), ".eE") && strconv.FormatFloat(f, 'f', 0, 64) != n.String()
	if err == nil && !rounds {
		return nil
	}
	return fault.Invalidf("inexact_number", "the number in %s would not be kept as it is; send it as a string", shown(path)).WithField(shown(path))
}
