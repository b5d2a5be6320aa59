package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/fault"
)

// FuzzDecodeObject holds the strict decoder against the standard one: what
// it accepts, the other accepts too, with the same values.
func FuzzDecodeObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"question":"a","limit":3,"list":["x"],"filter":{"metadata.k":[1,"a",true]}}`, ` { "question" : "\u00e9\\\"" , "limit" : -1e0 } `,
		`{"question":null}`, `{"a":{"b":[{}]}}`, `[`, `{"question":"\ud800"}`, `{"limit":1}{}`, `{"question":"a",}`, "{\"\\u0071uestion\":\"x\"}", `{"":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want struct {
			Question string        `json:"question"`
			Limit    int           `json:"limit"`
			List     []string      `json:"list"`
			Filter   corpus.Filter `json:"filter"`
		}
		present, err := decodeObject(data, field{"question", &got.Question}, field{"limit", &got.Limit}, field{"list", &got.List}, field{"filter", &got.Filter})
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("class of %v", err)
			}
			if _, message := fault.Public(err); !utf8.ValidString(message) || len(message) > 1000 {
				t.Fatalf("message %q", message)
			}
			return
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("accepted %q, but: %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%q: %s", data, diff)
		}
		if len(present) > 4 {
			t.Fatal(present)
		}
	})
}

// FuzzWithSources shows that splicing keeps an object an object, with every
// other member as it was.
func FuzzWithSources(f *testing.F) {
	f.Add([]byte(`{"id":"a","sources":null,"answer":"x [1]"}`), []byte(`[{"id":"p"}]`))
	f.Add([]byte(`{"answer":"\"sources\":1"}`), []byte(``))
	f.Add([]byte(` {} `), []byte(`[]`))
	f.Add([]byte(`{"a":[{"sources":1}]`), []byte(`[]`))
	f.Fuzz(func(t *testing.T, end, sources []byte) {
		if len(sources) > 0 && !json.Valid(sources) {
			return
		}
		body, ok := withSources(end, sources, func(string, []byte) bool { return true })
		if !ok || !json.Valid(end) {
			return
		}
		var before, after map[string]json.RawMessage
		if err := json.Unmarshal(end, &before); err != nil {
			t.Fatalf("took %q for an object", end)
		}
		if err := json.Unmarshal(body, &after); err != nil {
			t.Fatalf("%q became %q: %v", end, body, err)
		}
		delete(before, "sources")
		if _, ok := after["sources"]; !ok {
			t.Fatalf("no sources in %q", body)
		}
		delete(after, "sources")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzLastEventID(f *testing.F) {
	for _, seed := range []string{"", "0", "7", "-1", "+1", "01", "1e3", "9999999999999999999", " 1", "1\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := lastEventID(text)
		if n < 0 || err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatal(n, err)
		}
	})
}

// FuzzRange shows that a part that is served lies within the document.
func FuzzRange(f *testing.F) {
	f.Add("bytes=0-3", int64(10))
	f.Add("bytes=-3", int64(2))
	f.Add("bytes=99999999999999999999-", int64(1))
	f.Add("bytes=1-0,2-3", int64(5))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 1 {
			return
		}
		part, ok := parseRange(header, size)
		if ok && part.Bytes > 0 && (part.Offset < 0 || part.Offset >= size || part.Bytes > size-part.Offset) {
			t.Fatalf("%q of %d: %+v", header, size, part)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add("20", "abc")
	f.Add("0", "")
	f.Add("1e2", strings.Repeat("x", 2000))
	f.Fuzz(func(t *testing.T, limit, cursor string) {
		n, got, err := page(map[string]string{"limit": limit, "cursor": cursor}, "cursor")
		if err == nil && (n < 1 || n > 100 || len(got) > maxCursorBytes) || err != nil && !fault.Is(err, fault.Invalid) {
			t.Fatal(n, got, err)
		}
	})
}

// FuzzFormFields shows that whatever describes a document in a form is
// refused with a fault of the caller's, or is within every bound.
func FuzzFormFields(f *testing.F) {
	f.Add("title", "A title", "a.pdf")
	f.Add("metadata", `{"a":[]}`, `..\..\x`)
	f.Add("acl", `["a"]`, "/")
	f.Add("source", "https://example.com/\u202e", "\x00\xff")
	f.Add("id", "../x", "a/../b")
	f.Fuzz(func(t *testing.T, name, value, filename string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		if err := w.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
		must(t, w.Close())
		p, err := multipart.NewReader(&b, w.Boundary()).NextRawPart()
		if err != nil {
			return
		}
		r, u, fields := &request{who: access.Anonymous()}, &upload{}, map[string]string{}
		if p.FormName() == "file" {
			return
		}
		if err := r.readPart(u, p, fields); err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("class of %v", err)
			}
			return
		}
		d := describing{Title: fields["title"], Source: fields["source"]}
		if err := parseJSONField("metadata", fields["metadata"], &d.Metadata); err == nil {
			err = d.check()
			if err == nil && (len(d.Title) > 4*corpus.MaxTitleRunes || len(d.Source) > corpus.MaxSourceBytes || corpus.CheckMetadata(d.Metadata) != nil) {
				t.Fatalf("%+v", d)
			}
		}
		if got := disposition(corpus.CleanFilename(filename), "id"); !strings.HasPrefix(got, "attachment") || strings.ContainsAny(got, "\r\n") {
			t.Fatalf("%q", got)
		}
	})
}

func FuzzSources(f *testing.F) {
	f.Add([]byte(`[{"id":"a"}]`))
	f.Add([]byte(`{"passages":[1]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		if trimmed := bytes.TrimSpace(data); trimmed[0] == '[' || trimmed[0] == '{' {
			var event struct {
				Passages json.RawMessage `json:"passages"`
			}
			if err := json.Unmarshal(sourcesEvent(data), &event); err != nil {
				t.Fatalf("%q: %v", data, err)
			}
		}
	})
}

func TestDecodersNameTheField(t *testing.T) {
	t.Parallel()
	var n int
	_, err := decodeObject([]byte(`{"limit":"x"}`), field{"limit", &n})
	if fault.Field(err) != "limit" || err.Error() != "limit must be a whole number" {
		t.Error(err)
	}
	_, err = decodeObject([]byte(`{"`+strings.Repeat("é", 100)+`":1}`), field{"limit", &n})
	if !utf8.ValidString(fault.Field(err)) || len(fault.Field(err)) > 80 {
		t.Error(fault.Field(err))
	}
}

func TestACutOffBodyIsNotWhole(t *testing.T) {
	t.Parallel()
	b := &bounded{r: io.MultiReader(strings.NewReader("abc"), brokenReader{}), broken: brokenBody, limit: 10}
	if _, err := io.ReadAll(b); !fault.Is(err, fault.Invalid) {
		t.Fatal(err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
