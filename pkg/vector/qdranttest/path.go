package qdranttest

import (
	"strings"

	"github.com/qdrant/go-client/qdrant"
)

// jsonPath is a place in a payload.
type jsonPath []step

// step goes to a key of an object, or to every element of a list.
type step struct {
	key   string
	every bool
}

// parsePath reads keys of letters, digits, _ and - joined by dots, each quoted
// if need be and each with "[]" after it or not.
func parsePath(s string) (jsonPath, error) {
	var path jsonPath
	rest := s
	for first := true; first || rest != ""; first = false {
		if !first {
			if after, ok := strings.CutPrefix(rest, "[]"); ok {
				path, rest = append(path, step{every: true}), after
				continue
			}
			after, ok := strings.CutPrefix(rest, ".")
			if !ok {
				return nil, invalid("Invalid json path: '%s'", s)
			}
			rest = after
		}
		key, after, ok := cutKey(rest)
		if !ok {
			return nil, invalid("Invalid json path: '%s'", s)
		}
		path, rest = append(path, step{key: key}), after
	}
	return path, nil
}

func cutKey(s string) (key, rest string, ok bool) {
	if quoted, found := strings.CutPrefix(s, `"`); found {
		end := strings.IndexAny(quoted, `"\`)
		if end < 0 || quoted[end] != '"' {
			return "", "", false
		}
		return quoted[:end], quoted[end+1:], true
	}
	end := strings.IndexAny(s, `.[]"\ `)
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], end > 0
}

// values returns what is at the path; a list at its end stands for its elements.
func (path jsonPath) values(payload map[string]*qdrant.Value) []*qdrant.Value {
	first, ok := payload[path[0].key]
	if !ok {
		return nil
	}
	at := []*qdrant.Value{first}
	for _, s := range path[1:] {
		var next []*qdrant.Value
		for _, v := range at {
			if s.every {
				next = append(next, v.GetListValue().GetValues()...)
			} else if field, ok := v.GetStructValue().GetFields()[s.key]; ok {
				next = append(next, field)
			}
		}
		at = next
	}
	if len(at) == 1 {
		if list := at[0].GetListValue(); list != nil {
			return list.GetValues()
		}
		return at
	}
	var out []*qdrant.Value
	for _, v := range at {
		if list := v.GetListValue(); list != nil {
			out = append(out, list.GetValues()...)
			continue
		}
		out = append(out, v)
	}
	return out
}
