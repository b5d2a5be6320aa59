package wire

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// plainText returns the piece of text of an event that has nothing else, in the
// order in which Anthropic writes it and without an escaped character. Nearly
// all events of an answer are of this kind. Of everything else, right or wrong,
// it says that it is not, and leaves it to the decoder that reads all of JSON.
func plainText(data []byte) (text string, ok bool) {
	rest, ok := after(data, "{", `"type"`, ":", `"content_block_delta"`, ",", `"index"`, ":")
	if !ok {
		return "", false
	}
	// Before ten blocks of content there is one digit, and any more are left to JSON.
	digit := skip(rest)
	if len(digit) == 0 || digit[0] < '0' || digit[0] > '9' {
		return "", false
	}
	rest, ok = after(digit[1:], ",", `"delta"`, ":", "{", `"type"`, ":", `"text_delta"`, ",", `"text"`, ":", `"`)
	if !ok {
		return "", false
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 || !isPlain(rest[:end]) {
		return "", false
	}
	tail, ok := after(rest[end+1:], "}", "}")
	if !ok || len(skip(tail)) > 0 {
		return "", false
	}
	return string(rest[:end]), true
}

// after returns what follows the tokens, between which there may be white space.
func after(data []byte, tokens ...string) (rest []byte, ok bool) {
	for _, token := range tokens {
		data = skip(data)
		if len(data) < len(token) || string(data[:len(token)]) != token {
			return nil, false
		}
		data = data[len(token):]
	}
	return data, true
}

// skip returns the data without the white space at its beginning.
func skip(data []byte) []byte {
	for len(data) > 0 && strings.IndexByte(white, data[0]) >= 0 {
		data = data[1:]
	}
	return data
}

// white is what may stand between the tokens of JSON (RFC 8259 section 2).
const white = " \t\r\n"

// isPlain reports whether the inside of a JSON string is the text that it means.
func isPlain(inside []byte) bool {
	for _, c := range inside {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return utf8.Valid(inside)
}
