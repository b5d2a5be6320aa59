package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestAPartOfADocumentCanBeRead(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	const body, path = "0123456789", "/v1/documents/d/content"
	g.do(http.MethodPost, "/v1/documents?id=d&filename=d.txt", strings.NewReader(body), header{"Content-Type": "text/plain"}).document(t, http.StatusAccepted)
	etag := g.get(path).header.Get("ETag")
	for name, c := range map[string]struct {
		h      header
		status int
		// of is the Content-Range, body the part.
		of, body string
	}{
		"no range":                           {nil, 200, "", body},
		"the beginning":                      {header{"Range": "bytes=0-3"}, 206, "bytes 0-3/10", "0123"},
		"the middle":                         {header{"Range": "bytes=4-4"}, 206, "bytes 4-4/10", "4"},
		"from somewhere on":                  {header{"Range": "bytes=7-"}, 206, "bytes 7-9/10", "789"},
		"more than there is":                 {header{"Range": "bytes=8-99999999999999999999"}, 206, "bytes 8-9/10", "89"},
		"the end":                            {header{"Range": "bytes=-2"}, 206, "bytes 8-9/10", "89"},
		"an end longer than all":             {header{"Range": "bytes=-11"}, 206, "bytes 0-9/10", body},
		"everything":                         {header{"Range": "Bytes=0-"}, 206, "bytes 0-9/10", body},
		"after the end":                      {header{"Range": "bytes=10-"}, 416, "bytes */10", ""},
		"far after the end":                  {header{"Range": "bytes=99999999999999999999-"}, 416, "bytes */10", ""},
		"no byte of the end":                 {header{"Range": "bytes=-0"}, 416, "bytes */10", ""},
		"several":                            {header{"Range": "bytes=0-1,3-4"}, 200, "", body},
		"another unit":                       {header{"Range": "lines=0-1"}, 200, "", body},
		"backwards":                          {header{"Range": "bytes=4-3"}, 200, "", body},
		"signs":                              {header{"Range": "bytes=+1-+2"}, 200, "", body},
		"nothing of it":                      {header{"Range": "bytes=-"}, 200, "", body},
		"no unit":                            {header{"Range": "0-3"}, 200, "", body},
		"of this version":                    {header{"Range": "bytes=0-3", "If-Range": etag}, 206, "bytes 0-3/10", "0123"},
		"of this version, weakly":            {header{"Range": "bytes=0-3", "If-Range": "W/" + etag}, 200, "", body},
		"of another version":                 {header{"Range": "bytes=99-", "If-Range": `"x"`}, 200, "", body},
		"of a date":                          {header{"Range": "bytes=0-3", "If-Range": "Tue, 24 Nov 2026 08:00:00 GMT"}, 200, "", body},
		"the reader has it all":              {header{"Range": "bytes=0-3", "If-None-Match": etag}, 304, "", ""},
		"the reader has it, and wants much":  {header{"Range": "bytes=99-", "If-None-Match": etag}, 304, "", ""},
		"the reader has another, and a part": {header{"Range": "bytes=0-3", "If-None-Match": `"x"`}, 206, "bytes 0-3/10", "0123"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := g.do(http.MethodGet, path, nil, c.h)
			if got.status != c.status || got.header.Get("Content-Range") != c.of || got.header.Get("ETag") != etag || got.header.Get("Accept-Ranges") != "bytes" {
				t.Fatalf("%d %v", got.status, got.header)
			}
			if c.status == http.StatusRequestedRangeNotSatisfiable {
				got.problem(t, c.status, "range_not_satisfiable")
				got.conforms(t, "GET", "/v1/documents/{id}/content")
				return
			}
			if string(got.body) != c.body {
				t.Fatalf("%q", got.body)
			}
			if c.status != http.StatusNotModified && (got.header.Get("Content-Length") != strconv.Itoa(len(c.body)) ||
				got.header.Get("Content-Disposition") != "attachment; filename=d.txt" || got.header.Get("Content-Type") != "text/plain" ||
				!strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox")) {
				t.Fatalf("%v", got.header)
			}
		})
	}
	t.Run("HEAD is of the whole", func(t *testing.T) {
		t.Parallel()
		got := g.do(http.MethodHead, path, nil, header{"Range": "bytes=0-3"})
		if got.status != http.StatusOK || got.header.Get("Content-Length") != "10" || got.header.Get("Accept-Ranges") != "bytes" {
			t.Fatalf("%d %v", got.status, got.header)
		}
	})
}
