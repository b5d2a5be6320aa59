package gateway

import (
	"bytes"
	"strings"
)

// headerList returns a header that is a list, which may come in several lines.
func (r *request) headerList(name string) string {
	return string(bytes.Join(r.c.Request().Header.PeekAll(name), []byte(", ")))
}

// matchesETag reports whether the list of If-None-Match is * or has a strong
// entity tag of ours. It is compared weakly (RFC 9110, 13.1.2): W/ before it
// makes no difference. Whatever is no entity tag ends the list.
func matchesETag(list, etag string) bool {
	if strings.TrimSpace(list) == "*" {
		return true
	}
	for {
		tag, rest, ok := cutETag(list)
		if !ok {
			return false
		}
		if tag == etag {
			return true
		}
		list = rest
	}
}

// cutETag takes the first entity tag off a list, and W/ off the tag.
func cutETag(list string) (tag, rest string, ok bool) {
	tag, ok = strings.CutPrefix(strings.TrimPrefix(strings.TrimLeft(list, ", \t"), "W/"), `"`)
	if !ok {
		return "", "", false
	}
	tag, rest, ok = strings.Cut(tag, `"`)
	return `"` + tag + `"`, rest, ok
}
