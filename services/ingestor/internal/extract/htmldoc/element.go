package htmldoc

import (
	"path"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/html"
)

// role says what an element does to the text inside it.
type role int

const (
	roleInline role = iota
	// roleBlock ends the paragraph before it and its own.
	roleBlock
	// roleDropped is never read.
	roleDropped
	// roleVoid has no content and no end tag.
	roleVoid
	// roleFurniture is dropped outside an article when the page has main content.
	roleFurniture
)

// roleOf returns the role of an element by its tag.
func roleOf(tag string) role {
	switch tag {
	case "script", "style", "template", "noscript", "svg", "iframe", "object", "canvas", "audio", "video",
		"noembed", "noframes", "select", "datalist", "button", "textarea", "dialog", "nav", "menu", "head", "annotation", "annotation-xml", "rp":
		return roleDropped
	case "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr", "frame", "basefont", "bgsound":
		return roleVoid
	case "header", "footer":
		return roleFurniture
	case "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dir", "div", "dl", "dt", "fieldset",
		"figcaption", "figure", "form", "h1", "h2", "h3", "h4", "h5", "h6", "hgroup", "html", "legend", "li", "main", "ol", "p", "pre",
		"search", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul", "listing", "xmp", "plaintext":
		return roleBlock
	}
	return roleInline
}

// headContent reports elements that do not end an open head.
func headContent(tag string) bool {
	switch tag {
	case "title", "meta", "link", "script", "style", "base", "noscript", "template", "basefont", "bgsound", "noframes":
		return true
	}
	return false
}

// altText returns what an image says to those who do not see it, "" for one
// that is only there to be looked at.
func (a attributes) altText() string {
	alt := strings.TrimSpace(a.alt)
	if a.hidden || a.presentation || strings.IndexFunc(alt, unicode.IsLetter) < 0 || !strings.Contains(alt, " ") && imageName(alt) {
		return ""
	}
	return alt
}

// imageName reports a file's name, which programs put where nobody wrote a text.
func imageName(alt string) bool {
	switch strings.ToLower(path.Ext(alt)) {
	case ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".bmp", ".avif":
		return true
	}
	return false
}

// headingLevel returns 1 to 6 for h1 to h6, else 0.
func headingLevel(tag string) int {
	if len(tag) == 2 && tag[0] == 'h' && tag[1] >= '1' && tag[1] <= '6' {
		return int(tag[1] - '0')
	}
	return 0
}

// attributes are those of an element that matter here.
type attributes struct {
	hidden, presentation, main bool
	start, alt                 string
	columns, rows              int
}

func readAttributes(z *html.Tokenizer, more bool) attributes {
	var a attributes
	for more {
		var key, val []byte
		key, val, more = z.TagAttr()
		switch string(key) {
		case "hidden":
			a.hidden = a.hidden || !strings.EqualFold(string(val), "until-found")
		case "aria-hidden":
			a.hidden = a.hidden || strings.EqualFold(string(val), "true")
		case "style":
			a.hidden = a.hidden || hiddenStyle(string(val))
		case "role":
			role := strings.ToLower(string(val))
			a.presentation = role == "presentation" || role == "none"
			a.main = role == "main"
			a.hidden = a.hidden || role == "navigation"
		case "start":
			a.start = string(val)
		case "alt":
			a.alt = string(val)
		case "colspan":
			a.columns = spanOf(string(val))
		case "rowspan":
			a.rows = spanOf(string(val))
			if a.rows == 0 {
				a.rows = maxSpan // to the end of the group
			}
		}
	}
	return a
}

// maxSpan bounds how far a cell spans, as HTML does.
const maxSpan = 65534

// spanOf reads a number of rows or columns as browsers do: what is no number is 1.
func spanOf(val string) int {
	n, err := strconv.Atoi(strings.TrimSpace(val))
	if err != nil || n < 0 {
		return 1
	}
	return min(n, maxSpan)
}

// hiddenStyle reports inline styles under which nobody sees the text.
func hiddenStyle(style string) bool {
	for decl := range strings.SplitSeq(strings.ToLower(style), ";") {
		name, value, ok := strings.Cut(decl, ":")
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(strings.TrimSpace(value), "!")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "display":
			if value == "none" {
				return true
			}
		case "visibility":
			if value == "hidden" || value == "collapse" {
				return true
			}
		case "opacity":
			if strings.Trim(value, "0.%") == "" {
				return true
			}
		case "font-size":
			if number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz%"); number != "" && strings.Trim(number, "0.") == "" {
				return true
			}
		}
	}
	return false
}

// implied returns the open tags that a start tag ends, and the tags that shield them.
func implied(tag string) (ends, shields string) {
	switch tag {
	case "li":
		return " li p ", " ul ol menu dir table td th "
	case "dt", "dd":
		return " dt dd p ", " dl table td th "
	case "tr":
		return " tr td th caption p ", " table "
	case "td", "th":
		return " td th caption p ", " tr table "
	case "thead", "tbody", "tfoot":
		return " thead tbody tfoot tr td th caption p ", " table "
	}
	switch roleOf(tag) {
	case roleBlock, roleFurniture:
		return " p ", " li td th dd dt caption table "
	case roleInline, roleDropped, roleVoid:
	}
	if tag == "hr" || tag == "nav" {
		return " p ", " li td th dd dt caption table "
	}
	return "", ""
}

// shieldedBy returns the open tags that an end tag does not reach across.
func shieldedBy(tag string) string {
	switch tag {
	case "table", "html", "body":
		return ""
	case "tr", "td", "th", "tbody", "thead", "tfoot", "caption":
		return " table "
	case "li":
		return " ul ol table td th "
	}
	return " td th table caption "
}
