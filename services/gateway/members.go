package gateway

import (
	"bytes"
	"encoding/json"
)

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

// passagesOf returns the list of passages in a sources frame, which is the
// list or an object that has it.
func passagesOf(data []byte) json.RawMessage {
	i := skipSpace(data, 0)
	if i >= len(data) || data[i] != '{' {
		return data
	}
	return member(data, "passages")
}

// member returns the value of a member of a JSON object, nil when there is none.
func member(data []byte, name string) json.RawMessage {
	var found json.RawMessage
	members(data, func(key, value []byte) bool {
		if unquoted(key) != name {
			return true
		}
		found = value
		return false
	})
	return found
}

// unquoted returns a key as [members] gives it without its quotes.
func unquoted(key []byte) string { return string(bytes.Trim(key, `"`)) }

// withSources returns a JSON object with its member "sources" replaced, or
// added at the end. The rest is copied, not decoded: it is everything that
// the answer says. look sees the other members; ok is false when end is no
// object or look refuses.
func withSources(end, sources []byte, look func(key string, value []byte) bool) (body []byte, ok bool) {
	if len(sources) == 0 {
		sources = []byte("[]")
	}
	var out bytes.Buffer
	out.Grow(len(end) + len(sources) + 16)
	out.WriteByte('{')
	placed := false
	member := func(key, value []byte) {
		if out.Len() > 1 {
			out.WriteByte(',')
		}
		out.Write(key)
		out.WriteByte(':')
		out.Write(value)
	}
	ok = members(end, func(key, value []byte) bool {
		if string(key) == `"sources"` {
			placed = true
			member(key, sources)
			return true
		}
		member(key, value)
		return look(unquoted(key), value)
	})
	if !placed {
		member([]byte(`"sources"`), sources)
	}
	out.WriteByte('}')
	return out.Bytes(), ok
}
