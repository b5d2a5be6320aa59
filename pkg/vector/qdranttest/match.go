package qdranttest

import (
	"slices"

	"github.com/qdrant/go-client/qdrant"
)

// matching returns the points that the filter lets through, in no order. The caller holds the lock.
func (c *collection) matching(f *qdrant.Filter) ([]*point, error) {
	slots, err := c.matches(f)
	if err != nil {
		return nil, err
	}
	out := make([]*point, 0, slots.size())
	for slot := range slots.all() {
		out = append(out, c.slots[slot])
	}
	return out, nil
}

// matches returns the slots of the points that the filter lets through. What
// has no index is tested point by point. The caller holds the lock.
func (c *collection) matches(f *qdrant.Filter) (set, error) {
	out := slices.Clone(c.used)
	exact := len(f.GetMustNot()) == 0 && len(f.GetShould()) == 0 && f.GetMinShould() == nil
	for _, condition := range f.GetMust() {
		listed, ok, err := c.listed(condition)
		if err != nil {
			return nil, err
		}
		if ok {
			out.keep(listed)
		}
		exact = exact && ok
	}
	if exact {
		return out, nil
	}
	test, err := compile(f)
	if err != nil {
		return nil, err
	}
	for slot := range out.all() {
		if !test(c.slots[slot]) {
			out.remove(slot)
		}
	}
	return out, nil
}

// listed returns exactly the points for which the condition holds, if an
// index knows them. The set is not the caller's to change.
func (c *collection) listed(condition *qdrant.Condition) (found set, ok bool, err error) {
	if ids := condition.GetHasId(); ids != nil {
		for _, id := range ids.GetHasId() {
			key, err := keyOf(id)
			if err != nil {
				return nil, false, err
			}
			if p := c.points[key]; p != nil {
				found.add(p.slot)
			}
		}
		return found, true, nil
	}
	field := condition.GetField()
	words := c.words[field.GetKey()]
	if words == nil || !onlyMatch(field) {
		return nil, false, nil
	}
	of := func(w word) set {
		if listed := words[w]; listed != nil {
			return *listed
		}
		return nil
	}
	switch m := field.GetMatch().GetMatchValue().(type) {
	case *qdrant.Match_Keyword:
		return of(m.Keyword), true, nil
	case *qdrant.Match_Boolean:
		return of(m.Boolean), true, nil
	case *qdrant.Match_Keywords:
		for _, w := range m.Keywords.GetStrings() {
			found.join(of(w))
		}
		return found, true, nil
	}
	return nil, false, nil
}

func onlyMatch(f *qdrant.FieldCondition) bool {
	return f.GetRange() == nil && f.GetGeoBoundingBox() == nil && f.GetGeoRadius() == nil && f.GetGeoPolygon() == nil &&
		f.GetValuesCount() == nil && f.GetDatetimeRange() == nil && f.IsEmpty == nil && f.IsNull == nil
}
