package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/ragbus/ragbus/pkg/fault"
)

// metadataPrefix is what a filter key starts with in the API.
const metadataPrefix = "metadata."

// MaxConditions bounds a filter.
const MaxConditions = 32

// Filter is a conjunction of conditions on document metadata. The zero
// Filter matches every document. Its JSON is the API's:
// {"metadata.key": value | [values] | {"gte": n, "lte": n}}.
type Filter []Condition

// Condition tests one metadata key. Either AnyOf is set, or a bound is.
type Condition struct {
	Key string
	// AnyOf matches when the key's value equals one of these (string, float64 or bool).
	AnyOf []any
	// GTE and LTE bound a number, inclusively; nil is no bound.
	GTE *float64
	LTE *float64
}

// Matches reports whether metadata satisfies every condition. A missing key satisfies none.
func (f Filter) Matches(metadata map[string]any) bool {
	for _, c := range f {
		v, ok := metadata[c.Key]
		if !ok || !c.matches(v) {
			return false
		}
	}
	return true
}

func (c Condition) matches(v any) bool {
	if c.GTE == nil && c.LTE == nil {
		return slices.Contains(c.AnyOf, v)
	}
	n, ok := v.(float64)
	return ok && (c.GTE == nil || n >= *c.GTE) && (c.LTE == nil || n <= *c.LTE)
}

// UnmarshalJSON reads the API's form; anything else is an Invalid fault on the field "filter".
func (f *Filter) UnmarshalJSON(data []byte) error {
	*f = nil
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return invalidFilter("filter is not a JSON object")
	}
	if len(raw) > MaxConditions {
		return invalidFilter("filter has %d conditions; the limit is %d", len(raw), MaxConditions)
	}
	for key, value := range raw {
		name, ok := strings.CutPrefix(key, metadataPrefix)
		if !ok || name == "" {
			return invalidFilter("filter key %q is not known; keys have the form metadata.<key>", key)
		}
		c, err := parseCondition(name, value)
		if err != nil {
			return err
		}
		*f = append(*f, c)
	}
	sort.Slice(*f, func(i, j int) bool { return (*f)[i].Key < (*f)[j].Key })
	return nil
}

func parseCondition(key string, value json.RawMessage) (Condition, error) {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return Condition{}, invalidFilter("filter on %q is not JSON", key)
	}
	switch v := v.(type) {
	case string, float64, bool:
		return Condition{Key: key, AnyOf: []any{v}}, nil
	case []any:
		if len(v) == 0 || len(v) > 100 {
			return Condition{}, invalidFilter("filter on %q lists %d values; use 1 to 100", key, len(v))
		}
		for _, e := range v {
			switch e.(type) {
			case string, float64, bool:
			default:
				return Condition{}, invalidFilter("filter on %q lists a value that is not a string, number or boolean", key)
			}
		}
		return Condition{Key: key, AnyOf: v}, nil
	case map[string]any:
		return parseRange(key, v)
	}
	return Condition{}, invalidFilter("filter on %q must be a value, a list of values or a range", key)
}

func parseRange(key string, m map[string]any) (Condition, error) {
	c := Condition{Key: key}
	for op, v := range m {
		n, ok := v.(float64)
		if !ok {
			return c, invalidFilter("the %s of the filter on %q is not a number", op, key)
		}
		switch op {
		case "gte":
			c.GTE = &n
		case "lte":
			c.LTE = &n
		default:
			return c, invalidFilter("filter on %q has the unknown bound %q; use gte and lte", key, op)
		}
	}
	if c.GTE == nil && c.LTE == nil {
		return c, invalidFilter("the range of the filter on %q is empty; use gte and lte", key)
	}
	return c, nil
}

func invalidFilter(format string, args ...any) error {
	return fault.Invalidf("invalid_filter", format, args...).WithField("filter")
}

// MarshalJSON writes the form that [Filter.UnmarshalJSON] reads, keys sorted.
func (f Filter) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(f))
	for _, c := range f {
		switch {
		case c.GTE != nil || c.LTE != nil:
			r := map[string]float64{}
			if c.GTE != nil {
				r["gte"] = *c.GTE
			}
			if c.LTE != nil {
				r["lte"] = *c.LTE
			}
			out[metadataPrefix+c.Key] = r
		case len(c.AnyOf) == 1:
			out[metadataPrefix+c.Key] = c.AnyOf[0]
		default:
			out[metadataPrefix+c.Key] = c.AnyOf
		}
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode filter: %w", err)
	}
	return b, nil
}
