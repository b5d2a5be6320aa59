package qdranttest

import (
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// indexed reports whether the key has an index of one of the kinds. The
// caller holds the lock, or does not mind.
func (c *collection) indexed(key string, kinds ...qdrant.PayloadSchemaType) bool {
	info := c.schema[key]
	return info != nil && slices.Contains(kinds, info.GetDataType())
}

func (c *collection) strict() bool { return c.limits.GetEnabled() }

// checkLimit refuses more results than strict mode allows.
func (c *collection) checkLimit(limit uint64) error {
	if most := c.limits.MaxQueryLimit; c.strict() && most != nil && limit > uint64(*most) {
		return invalid("Limit exceeded %d > %d for \"limit\". Help: Reduce the \"limit\" parameter to or below %d.", limit, *most, *most)
	}
	return nil
}

func (c *collection) checkUpsert(points int) error {
	if most := c.limits.UpsertMaxBatchsize; c.strict() && most != nil && uint64(points) > *most {
		return invalid("Limit exceeded %d > %d for \"upsert limit\". Help: Reduce the \"upsert limit\" parameter to or below %d.", points, *most, *most)
	}
	return nil
}

// checkFilter refuses conditions on keys without an index, and filters that
// are too large. The caller holds the lock.
func (c *collection) checkFilter(f *qdrant.Filter, unindexed *bool) error {
	if !c.strict() || f == nil {
		return nil
	}
	if most := c.limits.FilterMaxConditions; most != nil {
		if n := conditions(f); n > *most {
			return invalid("Filter condition limit reached (%d > %d). Help: Reduce the amount of conditions of your filter.", n, *most)
		}
	}
	if unindexed == nil || *unindexed {
		return nil
	}
	return c.checkIndexes("", f)
}

func all(f *qdrant.Filter) []*qdrant.Condition {
	return slices.Concat(f.GetMust(), f.GetMustNot(), f.GetShould(), f.GetMinShould().GetConditions())
}

func conditions(f *qdrant.Filter) uint64 {
	n := uint64(0)
	for _, condition := range all(f) {
		switch v := condition.GetConditionOneOf().(type) {
		case *qdrant.Condition_Filter:
			n += conditions(v.Filter)
		case *qdrant.Condition_Nested:
			n += conditions(v.Nested.GetFilter())
		default:
			n++
		}
	}
	return n
}

func (c *collection) checkIndexes(prefix string, f *qdrant.Filter) error {
	for _, condition := range all(f) {
		var err error
		switch v := condition.GetConditionOneOf().(type) {
		case *qdrant.Condition_Filter:
			err = c.checkIndexes(prefix, v.Filter)
		case *qdrant.Condition_Nested:
			err = c.checkIndexes(prefix+v.Nested.GetKey()+"[].", v.Nested.GetFilter())
		case *qdrant.Condition_Field:
			err = c.checkIndex(prefix+v.Field.GetKey(), v.Field)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) checkIndex(key string, f *qdrant.FieldCondition) error {
	var needed []qdrant.PayloadSchemaType
	switch m := f.GetMatch().GetMatchValue().(type) {
	case *qdrant.Match_Boolean:
		needed = []qdrant.PayloadSchemaType{qdrant.PayloadSchemaType_Bool}
	case *qdrant.Match_Integer, *qdrant.Match_Integers, *qdrant.Match_ExceptIntegers:
		needed = []qdrant.PayloadSchemaType{qdrant.PayloadSchemaType_Integer}
	case *qdrant.Match_Keywords:
		if len(m.Keywords.GetStrings()) == 0 {
			return nil
		}
		needed = []qdrant.PayloadSchemaType{qdrant.PayloadSchemaType_Keyword}
	case nil:
		needed = []qdrant.PayloadSchemaType{qdrant.PayloadSchemaType_Integer, qdrant.PayloadSchemaType_Float}
	default:
		needed = []qdrant.PayloadSchemaType{qdrant.PayloadSchemaType_Keyword}
	}
	if !c.indexed(key, needed...) {
		return invalid("Index required but not found for \"%s\" of one of the following types: %v. Help: Create an index for this key or use a different filter.", key, needed)
	}
	return nil
}
