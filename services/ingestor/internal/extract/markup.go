package extract

import (
	"bytes"
	"strings"
)

// looksHTML reports whether text begins like an HTML page. A Markdown file may
// begin with a bare element too, so there only a document's own start counts.
func looksHTML(b []byte, d declared) bool {
	b = skipPrologue(b)
	for _, start := range []string{"<!doctype html", "<html", "<head", "<body"} {
		if hasTag(b, start) {
			return true
		}
	}
	if d.markdown() || len(b) == 0 || b[0] != '<' {
		return !d.markdown() && d.html() && countTags(b) >= 2
	}
	for _, start := range []string{
		"<title", "<meta", "<script", "<style", "<link", "<div", "<p", "<h1", "<h2", "<h3", "<table", "<ul", "<ol",
		"<section", "<article", "<main", "<header", "<nav", "<span", "<a", "<b", "<br", "<center", "<font", "<form", "<iframe", "<img", "<pre", "<blockquote",
	} {
		if hasTag(b, start) {
			return true
		}
	}
	return d.html() && countTags(b) >= 2
}

// skipPrologue drops white space, comments and an XML declaration.
func skipPrologue(b []byte) []byte {
	for {
		b = bytes.TrimLeft(b, " \t\r\n\f")
		var end string
		switch {
		case bytes.HasPrefix(b, []byte("<!--")):
			end = "-->"
		case bytes.HasPrefix(b, []byte("<?")):
			end = "?>"
		default:
			return b
		}
		i := bytes.Index(b, []byte(end))
		if i < 0 {
			return b
		}
		b = b[i+len(end):]
	}
}

// hasTag reports whether b starts with the tag, in any case, as a whole word.
func hasTag(b []byte, tag string) bool {
	if len(b) <= len(tag) || !strings.EqualFold(string(b[:len(tag)]), tag) {
		return false
	}
	switch b[len(tag)] {
	case ' ', '\t', '\r', '\n', '\f', '>', '/':
		return true
	}
	return false
}

// countTags counts what looks like start tags, up to ten.
func countTags(b []byte) int {
	n := 0
	for i := 0; i+1 < len(b) && n < 10; i++ {
		if c := b[i+1] | 0x20; b[i] == '<' && c >= 'a' && c <= 'z' && bytes.IndexByte(b[i:min(i+200, len(b))], '>') > 0 {
			n++
		}
	}
	return n
}

// looksMarkdown reports clear Markdown structure: headings or fences, and at
// least one more kind of evidence. A "#" alone is a comment in many languages.
func looksMarkdown(b []byte) bool {
	if bytes.HasPrefix(b, []byte("#!")) {
		return false
	}
	var headings, fences, links, tables, emphasis, quotes int
	blank := true
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, "\r\n \t")
		switch {
		case len(line) == 0:
		case blank && isHeadingLine(line):
			headings++
		case bytes.HasPrefix(line, []byte("```")), bytes.HasPrefix(line, []byte("~~~")):
			fences++
		case isTableRule(line):
			tables++
		case bytes.HasPrefix(line, []byte("> ")):
			quotes++
		}
		if bytes.Contains(line, []byte("](")) {
			links++
		}
		if bytes.Count(line, []byte("**")) >= 2 {
			emphasis++
		}
		blank = len(line) == 0
	}
	kinds := 0
	for _, n := range []int{headings, fences / 2, links, tables, emphasis, quotes} {
		kinds += min(n, 1)
	}
	return (headings > 0 || fences > 1 || tables > 0) && kinds >= 2
}

func isHeadingLine(line []byte) bool {
	text := bytes.TrimLeft(line, "#")
	n := len(line) - len(text)
	return n >= 1 && n <= 6 && len(text) > 1 && text[0] == ' '
}

// isTableRule recognises the line between a table's head and body.
func isTableRule(line []byte) bool {
	return bytes.Count(line, []byte("|")) >= 1 && bytes.Count(line, []byte("--")) >= 1 && len(bytes.Trim(line, "|-: \t")) == 0
}
