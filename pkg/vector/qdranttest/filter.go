package qdranttest

import (
	"slices"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// predicate tells whether a filter lets a point through.
type predicate func(*point) bool

// compile turns a filter into a predicate. An empty filter lets everything through.
func compile(f *qdrant.Filter) (predicate, error) {
	must, err := compileAll(f.GetMust())
	if err != nil {
		return nil, err
	}
	mustNot, err := compileAll(f.GetMustNot())
	if err != nil {
		return nil, err
	}
	should, err := compileAll(f.GetShould())
	if err != nil {
		return nil, err
	}
	least, err := compileAll(f.GetMinShould().GetConditions())
	if err != nil {
		return nil, err
	}
	return func(p *point) bool {
		holds := func(test predicate) bool { return test(p) }
		for _, test := range must {
			if !test(p) {
				return false
			}
		}
		if slices.ContainsFunc(mustNot, holds) || len(should) > 0 && !slices.ContainsFunc(should, holds) {
			return false
		}
		n := uint64(0)
		for _, test := range least {
			if test(p) {
				n++
			}
		}
		return n >= f.GetMinShould().GetMinCount()
	}, nil
}

func compileAll(conditions []*qdrant.Condition) ([]predicate, error) {
	out := make([]predicate, len(conditions))
	for i, c := range conditions {
		test, err := compileCondition(c)
		if err != nil {
			return nil, err
		}
		out[i] = test
	}
	return out, nil
}

func compileCondition(c *qdrant.Condition) (predicate, error) {
	switch v := c.GetConditionOneOf().(type) {
	case *qdrant.Condition_Field:
		return compileField(v.Field)
	case *qdrant.Condition_HasId:
		keys := make(map[string]bool)
		for _, id := range v.HasId.GetHasId() {
			key, err := keyOf(id)
			if err != nil {
				return nil, err
			}
			keys[key] = true
		}
		return func(p *point) bool { return keys[p.key] }, nil
	case *qdrant.Condition_Filter:
		return compile(v.Filter)
	case *qdrant.Condition_Nested:
		return compileNested(v.Nested)
	case *qdrant.Condition_HasVector:
		return func(p *point) bool {
			_, dense := p.dense[v.HasVector.GetHasVector()]
			_, sparse := p.sparse[v.HasVector.GetHasVector()]
			return dense || sparse
		}, nil
	case *qdrant.Condition_IsEmpty:
		return compileValues(v.IsEmpty.GetKey(), func(values []*qdrant.Value) bool { return !slices.ContainsFunc(values, notNull) })
	case *qdrant.Condition_IsNull:
		return compileValues(v.IsNull.GetKey(), func(values []*qdrant.Value) bool {
			return slices.ContainsFunc(values, func(v *qdrant.Value) bool { return !notNull(v) })
		})
	}
	return nil, status.Error(codes.Unimplemented, "the stand-in does not know this condition")
}

func notNull(v *qdrant.Value) bool {
	_, null := v.GetKind().(*qdrant.Value_NullValue)
	return !null
}

func compileValues(key string, test func([]*qdrant.Value) bool) (predicate, error) {
	path, err := parsePath(key)
	if err != nil {
		return nil, err
	}
	return func(p *point) bool { return test(path.values(p.payload)) }, nil
}

// compileNested tests the filter on each element of a list of objects.
func compileNested(n *qdrant.NestedCondition) (predicate, error) {
	path, err := parsePath(n.GetKey())
	if err != nil {
		return nil, err
	}
	test, err := compile(n.GetFilter())
	if err != nil {
		return nil, err
	}
	return func(p *point) bool {
		return slices.ContainsFunc(path.values(p.payload), func(v *qdrant.Value) bool {
			object := v.GetStructValue()
			return object != nil && test(&point{key: p.key, payload: object.GetFields()})
		})
	}, nil
}

func compileField(f *qdrant.FieldCondition) (predicate, error) {
	var tests []func(*qdrant.Value) bool
	if f.GetMatch() != nil {
		test, err := compileMatch(f.GetMatch())
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	if r := f.GetRange(); r != nil {
		tests = append(tests, func(v *qdrant.Value) bool { return inRange(r, v) })
	}
	if len(tests) == 0 || f.GetGeoBoundingBox() != nil || f.GetGeoRadius() != nil || f.GetGeoPolygon() != nil ||
		f.GetValuesCount() != nil || f.GetDatetimeRange() != nil || f.IsEmpty != nil || f.IsNull != nil {
		return nil, status.Errorf(codes.Unimplemented, "the stand-in does not know this condition on %q", f.GetKey())
	}
	return compileValues(f.GetKey(), func(values []*qdrant.Value) bool {
		for _, test := range tests {
			if !slices.ContainsFunc(values, test) {
				return false
			}
		}
		return true
	})
}

func inRange(r *qdrant.Range, v *qdrant.Value) bool {
	var x float64
	switch k := v.GetKind().(type) {
	case *qdrant.Value_DoubleValue:
		x = k.DoubleValue
	case *qdrant.Value_IntegerValue:
		x = float64(k.IntegerValue)
	default:
		return false
	}
	return (r.Gt == nil || x > r.GetGt()) && (r.Gte == nil || x >= r.GetGte()) && (r.Lt == nil || x < r.GetLt()) && (r.Lte == nil || x <= r.GetLte())
}

func compileMatch(m *qdrant.Match) (func(*qdrant.Value) bool, error) {
	isText := func(test func(string) bool) func(*qdrant.Value) bool {
		return func(v *qdrant.Value) bool {
			k, ok := v.GetKind().(*qdrant.Value_StringValue)
			return ok && test(k.StringValue)
		}
	}
	isInteger := func(test func(int64) bool) func(*qdrant.Value) bool {
		return func(v *qdrant.Value) bool {
			k, ok := v.GetKind().(*qdrant.Value_IntegerValue)
			return ok && test(k.IntegerValue)
		}
	}
	switch want := m.GetMatchValue().(type) {
	case *qdrant.Match_Keyword:
		return isText(func(s string) bool { return s == want.Keyword }), nil
	case *qdrant.Match_Keywords:
		set := make(map[string]bool)
		for _, s := range want.Keywords.GetStrings() {
			set[s] = true
		}
		return isText(func(s string) bool { return set[s] }), nil
	case *qdrant.Match_ExceptKeywords:
		return isText(func(s string) bool { return !slices.Contains(want.ExceptKeywords.GetStrings(), s) }), nil
	case *qdrant.Match_Integer:
		return isInteger(func(i int64) bool { return i == want.Integer }), nil
	case *qdrant.Match_Integers:
		return isInteger(func(i int64) bool { return slices.Contains(want.Integers.GetIntegers(), i) }), nil
	case *qdrant.Match_ExceptIntegers:
		return isInteger(func(i int64) bool { return !slices.Contains(want.ExceptIntegers.GetIntegers(), i) }), nil
	case *qdrant.Match_Boolean:
		return func(v *qdrant.Value) bool {
			k, ok := v.GetKind().(*qdrant.Value_BoolValue)
			return ok && k.BoolValue == want.Boolean
		}, nil
	}
	return nil, status.Error(codes.Unimplemented, "the stand-in does not know this match")
}
