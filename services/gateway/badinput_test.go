package gateway

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// TestBadRequests sends everything wrong there is and shows what is said of
// it, and that a question and a document beside it are none the worse.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Still fine."))
	g := s.serve(func(c *Config, _ *Deps) { c.MaxUploadBytes = 1 << 20 })
	long := strings.Repeat("x", 17<<10)
	jsonType := header{"Content-Type": "application/json"}
	text := header{"Content-Type": "text/plain"}
	formType := header{"Content-Type": "multipart/form-data; boundary=b"}
	cases := []struct {
		name, method, path, body string
		h                        header
		status                   int
		code, field              string
	}{
		{"no route", "GET", "/v2/nothing", "", nil, 404, "route_not_found", ""},
		{"wrong method", "PUT", "/v1/chat", "{}", jsonType, 405, "method_not_allowed", ""},
		{"wrong method of a probe", "PATCH", "/livez", "", nil, 405, "method_not_allowed", ""},
		{"OpenAI's chat is not built", "POST", "/v1/chat/completions", "{}", jsonType, 404, "route_not_found", ""},
		{"nor is it a chat of ours", "GET", "/v1/chat/completions", "", nil, 404, "route_not_found", ""},
		{"nor is what is below it", "GET", "/v1/chat/completions/stream", "", nil, 404, "route_not_found", ""},
		{"but an id may begin like it", "GET", "/v1/chat/completions1", "", nil, 404, "chat_not_found", ""},
		{"empty body", "POST", "/v1/chat", "", jsonType, 400, "empty_body", ""},
		{"not JSON", "POST", "/v1/chat", `{"question":`, jsonType, 400, "invalid_json", ""},
		{"a list", "POST", "/v1/chat", `[1]`, jsonType, 400, "invalid_json", ""},
		{"two objects", "POST", "/v1/chat", `{"question":"a"}{}`, jsonType, 400, "invalid_json", ""},
		{"unknown field", "POST", "/v1/chat", `{"question":"a","temperature":1}`, jsonType, 400, "unknown_field", "temperature"},
		{"wrong case", "POST", "/v1/chat", `{"Question":"a"}`, jsonType, 400, "unknown_field", "Question"},
		{"twice", "POST", "/v1/chat", `{"question":"a","question":"b"}`, jsonType, 400, "duplicate_field", "question"},
		{"wrong type", "POST", "/v1/chat", `{"question":1}`, jsonType, 400, "invalid_type", "question"},
		{"wrong element type", "POST", "/v1/chat", `{"question":"a","collections":[1]}`, jsonType, 400, "invalid_type", "collections"},
		{"wrong bool", "POST", "/v1/chat", `{"question":"a","stream":"yes"}`, jsonType, 400, "invalid_type", "stream"},
		{"too deep", "POST", "/v1/chat", `{"filter":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, jsonType, 400, "too_deep", ""},
		{"invalid UTF-8", "POST", "/v1/chat", "{\"question\":\"a\xff\"}", jsonType, 400, "invalid_utf8", ""},
		{"NUL", "POST", "/v1/chat", `{"question":"a\u0000"}`, jsonType, 400, "invalid_text", "question"},
		{"no JSON type", "POST", "/v1/chat", `{"question":"a"}`, text, 415, "unsupported_media_type", ""},
		{"gzip", "POST", "/v1/chat", "x", header{"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415, "unsupported_media_type", ""},
		{"empty question", "POST", "/v1/chat", `{"question":"  "}`, jsonType, 400, "empty_question", "question"},
		{"no question", "POST", "/v1/chat", `{}`, jsonType, 400, "empty_question", "question"},
		{"long question", "POST", "/v1/chat", `{"question":"` + long + `"}`, jsonType, 400, "question_too_long", "question"},
		{"1 MB question", "POST", "/v1/chat", `{"question":"` + strings.Repeat("y", 1<<20) + `"}`, jsonType, 413, "body_too_large", ""},
		{"bad conversation", "POST", "/v1/chat", `{"question":"a","conversation_id":"../x"}`, jsonType, 400, "invalid_id", "conversation_id"},
		{"bad collection", "POST", "/v1/chat", `{"question":"a","collections":["a.*"]}`, jsonType, 400, "invalid_id", "collections"},
		{"bad filter", "POST", "/v1/chat", `{"question":"a","filter":{"year":1}}`, jsonType, 400, "invalid_filter", "filter"},
		{"deadline", "POST", "/v1/chat", `{"question":"a","deadline_ms":10}`, jsonType, 400, "invalid_deadline", "deadline_ms"},
		{"deadline type", "POST", "/v1/chat", `{"question":"a","deadline_ms":1.5}`, jsonType, 400, "invalid_type", "deadline_ms"},
		{"key", "POST", "/v1/chat", `{"question":"a"}`, header{"Content-Type": "application/json", "Idempotency-Key": "\x80"}, 400, "invalid_idempotency_key", ""},
		{"query of chat", "POST", "/v1/chat?x=1", `{"question":"a"}`, jsonType, 400, "unknown_parameter", "x"},
		{"search mode", "POST", "/v1/search", `{"query":"a","mode":"magic"}`, jsonType, 400, "invalid_mode", "mode"},
		{"search limit", "POST", "/v1/search", `{"query":"a","limit":101}`, jsonType, 400, "invalid_limit", "limit"},
		{"search empty", "POST", "/v1/search", `{"query":""}`, jsonType, 400, "empty_query", "query"},
		{"search long", "POST", "/v1/search", `{"query":"` + long + `"}`, jsonType, 400, "query_too_long", "query"},
		{"search alone", "POST", "/v1/search", `{"query":"a"}`, jsonType, 503, "retriever_unavailable", ""},
		{"id with a dot", "GET", "/v1/documents/a.b", "", nil, 400, "invalid_id", "id"},
		{"id with a wildcard", "GET", "/v1/documents/*", "", nil, 400, "invalid_id", "id"},
		{"id with >", "GET", "/v1/documents/%3E", "", nil, 400, "invalid_id", "id"},
		{"id with ..", "GET", "/v1/documents/%2e%2e/content", "", nil, 400, "invalid_id", "id"},
		{"id with a slash", "GET", "/v1/documents/..%2f..%2fetc", "", nil, 400, "invalid_id", "id"},
		{"id too long", "GET", "/v1/documents/" + strings.Repeat("a", 129), "", nil, 400, "invalid_id", "id"},
		{"limit", "GET", "/v1/documents?limit=0", "", nil, 400, "invalid_limit", "limit"},
		{"limit text", "GET", "/v1/documents?limit=many", "", nil, 400, "invalid_limit", "limit"},
		{"cursor", "GET", "/v1/documents?cursor=%00", "", nil, 400, "invalid_utf8", "cursor"},
		{"cursor made up", "GET", "/v1/documents?cursor=zzzz", "", nil, 400, "invalid_cursor", "cursor"},
		{"cursor long", "GET", "/v1/documents?cursor=" + strings.Repeat("a", 2000), "", nil, 400, "invalid_cursor", "cursor"},
		{"status", "GET", "/v1/documents?status=lost", "", nil, 400, "invalid_status", "status"},
		{"parameter", "GET", "/v1/documents?colection=x", "", nil, 400, "unknown_parameter", "colection"},
		{"parameter twice", "GET", "/v1/documents?limit=1&limit=2", "", nil, 400, "duplicate_parameter", "limit"},
		{"query string", "GET", "/v1/documents?a=%zz", "", nil, 400, "invalid_query", ""},
		{"before", "GET", "/v1/conversations/x/messages?before=-1", "", nil, 400, "invalid_cursor", "before"},
		{"conversations cursor", "GET", "/v1/conversations?cursor=zz", "", nil, 400, "invalid_cursor", "cursor"},
		{"conversation id", "DELETE", "/v1/conversations/a*b", "", nil, 400, "invalid_id", "id"},
		{"empty body of a document", "POST", "/v1/documents", "", text, 400, "empty_document", ""},
		{"empty file", "POST", "/v1/documents", formOf("file", ""), formType, 400, "empty_document", "file"},
		{"empty text", "POST", "/v1/documents", `{"text":""}`, jsonType, 400, "empty_document", "text"},
		{"no text", "POST", "/v1/documents", `{"title":"T"}`, jsonType, 400, "empty_document", "text"},
		{"metadata twice", "POST", "/v1/documents", `{"text":"a","metadata":{"a":1,"a":2}}`, jsonType, 400, "duplicate_field", "metadata.a"},
		{"metadata twice in the query", "POST", "/v1/documents?metadata=%7B%22a%22:1,%22\\u0061%22:2%7D", "x", text, 400, "duplicate_field", "metadata.a"},
		{"metadata twice in a form", "POST", "/v1/documents", formOf("file", "x", "metadata", `{"a":1,"a":1}`), formType, 400, "duplicate_field", "metadata.a"},
		{"metadata twice in a patch", "PATCH", "/v1/documents/x", `{"metadata":{"b":1,"a":1,"b":1}}`, jsonType, 400, "duplicate_field", "metadata.b"},
		{"metadata rounded", "POST", "/v1/documents", `{"text":"a","metadata":{"a":9007199254740993}}`, jsonType, 400, "inexact_number", "metadata.a"},
		{"metadata rounded in the query", "POST", "/v1/documents?metadata=%7B%22a%22:-9007199254740993%7D", "x", text, 400, "inexact_number", "metadata.a"},
		{"metadata beyond numbers in a form", "POST", "/v1/documents", formOf("file", "x", "metadata", `{"a":1e999}`), formType, 400, "inexact_number", "metadata.a"},
		{"metadata rounded in a patch", "PATCH", "/v1/documents/x", `{"metadata":{"a":100000000000000000000000}}`, jsonType, 400, "inexact_number", "metadata.a"},
		{"filter twice", "POST", "/v1/chat", `{"question":"a","filter":{"metadata.a":1,"metadata.a":2}}`, jsonType, 400, "duplicate_field", "filter.metadata.a"},
		{"bound twice", "POST", "/v1/search", `{"query":"a","filter":{"metadata.a":{"gte":1,"gte":2}}}`, jsonType, 400, "duplicate_field", "filter.metadata.a.gte"},
		{"filter rounded", "POST", "/v1/chat", `{"question":"a","filter":{"metadata.a":[1,9007199254740993]}}`, jsonType, 400, "inexact_number", "filter.metadata.a"},
		{"bound rounded", "POST", "/v1/search", `{"query":"a","filter":{"metadata.a":{"gte":1e400}}}`, jsonType, 400, "inexact_number", "filter.metadata.a.gte"},
		{"document id", "POST", "/v1/documents?id=a.b", "x", text, 400, "invalid_id", "id"},
		{"collection", "POST", "/v1/documents?collection=a/b", "x", text, 400, "invalid_id", "collection"},
		{"source", "POST", "/v1/documents?source=javascript:alert(1)", "x", text, 400, "invalid_source", "source"},
		{"source no URL", "POST", "/v1/documents?source=somewhere", "x", text, 400, "invalid_source", "source"},
		{"title", "POST", "/v1/documents?title=" + strings.Repeat("t", 501), "x", text, 400, "invalid_title", "title"},
		{"metadata", "POST", "/v1/documents?metadata=%7B", "x", text, 400, "invalid_metadata", "metadata"},
		{"metadata nested", "POST", "/v1/documents?metadata=%7B%22a%22:%7B%7D%7D", "x", text, 400, "invalid_metadata", "metadata"},
		{"acl", "POST", "/v1/documents?acl=%22x%22", "x", text, 400, "invalid_type", "acl"},
		{"acl principal", "POST", "/v1/documents?acl=%5B%22%22%5D", "x", text, 400, "invalid_principal", "acl"},
		{"unknown query field", "POST", "/v1/documents?tilte=x", "x", text, 400, "unknown_parameter", "tilte"},
		{"type", "POST", "/v1/documents", "x", header{"Content-Type": "multipart/mixed; boundary=b"}, 415, "unsupported_media_type", ""},
		{"form without boundary", "POST", "/v1/documents", "x", header{"Content-Type": "multipart/form-data"}, 400, "malformed_multipart", ""},
		{"form that is none", "POST", "/v1/documents", "hello", formType, 400, "malformed_multipart", ""},
		{"form without an end", "POST", "/v1/documents", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx", formType, 400, "malformed_multipart", ""},
		{"form without a file", "POST", "/v1/documents", "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nx\r\n--b--\r\n", formType, 400, "missing_file", "file"},
		{"form field unknown", "POST", "/v1/documents", "--b\r\nContent-Disposition: form-data; name=\"tilte\"\r\n\r\nx\r\n--b--\r\n", formType, 400, "unknown_field", "tilte"},
		{"form field not UTF-8", "POST", "/v1/documents", "--b\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n\xff\r\n--b--\r\n", formType, 400, "invalid_utf8", "title"},
		{"form field too large", "POST", "/v1/documents", "--b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n" + strings.Repeat("m", 200<<10) + "\r\n--b--\r\n", formType, 400, "field_too_large", "metadata"},
		{"too large", "POST", "/v1/documents", strings.Repeat("z", 1<<20+1), text, 413, "body_too_large", ""},
		{"no such chat", "GET", "/v1/chat/x", "", nil, 404, "chat_not_found", ""},
		{"foreign page", "POST", "/v1/chat", `{"question":"a"}`, header{"Content-Type": "application/json", "Origin": "https://evil.example"}, 403, "origin_not_allowed", ""},
		{"null origin", "POST", "/v1/documents", "x", header{"Content-Type": "text/plain", "Origin": "null"}, 403, "origin_not_allowed", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var body io.Reader
			if c.body != "" {
				body = strings.NewReader(c.body)
			}
			p := g.do(c.method, c.path, body, c.h).problem(t, c.status, c.code)
			if c.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != c.field) || c.field == "" && len(p.Errors) > 0 {
				t.Fatalf("blames %v, want %s", p.Errors, c.field)
			}
			if a := g.ask(t, `{"question":"Are you well?"}`); a.Answer != "Still fine." {
				t.Fatalf("%+v", a)
			}
		})
	}
	t.Cleanup(func() {
		if n := s.stored(); n != 0 {
			t.Errorf("%d blobs are left of refused uploads", n)
		}
	})
}

// formOf is a form of names and values, with the boundary b.
func formOf(parts ...string) string {
	form := ""
	for pair := range slices.Chunk(parts, 2) {
		form += "--b\r\nContent-Disposition: form-data; name=\"" + pair[0] + "\"\r\n\r\n" + pair[1] + "\r\n"
	}
	return form + "--b--\r\n"
}

// TestRefusalsSayWhatIsTrue is about the texts that people read.
func TestRefusalsSayWhatIsTrue(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve(func(c *Config, _ *Deps) { c.MaxUploadBytes = 1 << 20 })
	jsonType := header{"Content-Type": "application/json"}
	huge := strings.Repeat("x", 3<<20)
	for name, c := range map[string]struct {
		method, path, body string
		h                  header
		says               string
	}{
		"a list":                    {"POST", "/v1/documents", `{"text":"a","acl":[1]}`, jsonType, "acl must be a list of which every element is a string"},
		"a list of collections":     {"POST", "/v1/chat", `{"question":"a","collections":[1]}`, jsonType, "collections must be a list of which every element is a string"},
		"a number in metadata":      {"POST", "/v1/documents", `{"text":"a","metadata":{"a":1e999}}`, jsonType, "the number in metadata.a would not be kept as it is; send it as a string"},
		"the limit of a form":       {"POST", "/v1/documents", huge, header{"Content-Type": "multipart/form-data; boundary=b"}, "the body is larger than 1048576 bytes, the limit here"},
		"the limit of JSON":         {"POST", "/v1/documents", huge, jsonType, "the body is larger than 1048576 bytes, the limit here"},
		"the limit of a text":       {"POST", "/v1/documents", `{"text":"` + huge[:1<<20+1] + `"}`, jsonType, "the document is larger than 1048576 bytes, the limit of this server"},
		"all that is neither":       {"DELETE", "/v1/dead-letters?all=maybe", "", nil, "all must be true or false"},
		"all that is not":           {"DELETE", "/v1/dead-letters?all=false", "", nil, "name what to select (stage, kind, class, code, since, until), or say all"},
		"a method that nobody has":  {"FOO", "/livez", "", nil, "this server does not know the method; it has GET, HEAD, POST, PATCH and DELETE"},
		"a method that is not here": {"POST", "/livez", "", nil, "this path exists, but not with this method; the Allow header lists those it has"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var p Problem
			g.do(c.method, c.path, strings.NewReader(c.body), c.h).decode(t, &p)
			if p.Detail != c.says {
				t.Fatalf("says %q", p.Detail)
			}
		})
	}
}

func TestFormsWithTwoFilesOrFieldsAreRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(c *Config, _ *Deps) { c.MaxUploadBytes = 1 << 20 })
	g.upload(part{"file", "a", "x"}, part{"file", "b", "y"}).problem(t, http.StatusBadRequest, "too_many_files")
	g.upload(part{"title", "", "x"}, part{"title", "", "y"}, part{"file", "b", "y"}).problem(t, http.StatusBadRequest, "duplicate_field")
	g.upload(part{"file", "a", ""}).problem(t, http.StatusBadRequest, "empty_document")
	g.upload(part{"file", "a", "x"}, part{"id", "", "../../etc/passwd"}).problem(t, http.StatusBadRequest, "invalid_id")
	// One byte more than the limit in a form that is within it.
	g.upload(part{"file", "a", strings.Repeat("x", 1<<20+1)}).problem(t, http.StatusRequestEntityTooLarge, "file_too_large")
	if n := s.stored(); n != 0 {
		t.Fatalf("%d blobs are left", n)
	}
	// The exact limit is allowed.
	g.upload(part{"file", "a", strings.Repeat("x", 1<<20)}).document(t, http.StatusAccepted)
}

func TestA200MBBodyIsRefusedAtOnceAndAnsweredWell(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	const size = 200 << 20
	c, err := net.Dial("tcp", g.svc.Addr())
	must(t, err)
	defer c.Close()
	sent := make(chan int64, 1)
	go func() {
		_, _ = fmt.Fprintf(c, "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: %d\r\n\r\n", size)
		n, _ := io.Copy(c, &pattern{size})
		sent <- n
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusRequestEntityTooLarge || !bytes.Contains(body, []byte(`"code":"body_too_large"`)) || !resp.Close {
		t.Fatalf("%d %v %s", resp.StatusCode, resp.Header, body)
	}
	must(t, c.Close())
	<-sent
	// The same without an announced length is noticed while it flows.
	got, err := g.try(http.MethodPost, "/v1/documents", io.LimitReader(&pattern{size}, size), header{"Content-Type": "application/pdf"})
	must(t, err)
	got.problem(t, http.StatusRequestEntityTooLarge, "file_too_large")
	if s.stored() != 0 {
		t.Fatal("something is left")
	}
}

// talk sends bytes over a connection of its own and returns the responses.
func (g *server) talk(t *testing.T, wire string) []answered {
	t.Helper()
	c, err := net.Dial("tcp", g.svc.Addr())
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	go func() {
		_, _ = io.WriteString(c, wire)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	br := bufio.NewReader(c)
	var out []answered
	for {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return out
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return out
		}
		out = append(out, answered{resp.StatusCode, resp.Header, body})
	}
}

func TestWhatIsNoHTTPIsAnsweredWithAProblem(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	cases := []struct {
		name, wire string
		status     int
		code       string
	}{
		{"garbage", "hello\r\n\r\n", 400, "malformed_request"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "malformed_request"},
		{"huge header", "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 431, "header_too_large"},
		{"unknown method", "BREW /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 501, "method_unknown"},
		{"no method", "G\x80T /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "malformed_request"},
		{"foreign host", "GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "host_not_allowed"},
		{"chunks that are none", "POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "incomplete_body"},
		{"short body", "POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("{", 9000), 400, "incomplete_body"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := g.talk(t, c.wire)
			if len(got) != 1 {
				t.Fatalf("%d answers", len(got))
			}
			got[0].problem(t, c.status, c.code)
			g.get("/livez")
		})
	}
}

func TestABodyThatNobodyReadIsNotTakenForARequest(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	smuggled := "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for _, big := range []int{0, 300 << 10} {
		body := strings.Repeat("x", big) + smuggled
		wire := fmt.Sprintf("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%sGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", len(body), body)
		got := g.talk(t, wire)
		got[0].problem(t, http.StatusNotFound, "route_not_found")
		for _, a := range got[1:] {
			if !bytes.Contains(a.body, []byte("alive")) {
				t.Fatalf("a body became a request: %s", a.body)
			}
		}
		if big == 0 && len(got) != 2 {
			t.Fatalf("the connection was not kept: %d answers", len(got))
		}
	}
}

func TestSlowClientsAreCutOff(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve(func(c *Config, _ *Deps) { c.ReadTimeout = 300 * time.Millisecond })
	for name, wire := range map[string]string{
		"header": "POST /v1/chat HTTP/1.1\r\nHost: loc",
		"body":   "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 20000),
		"form":   "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n--b\r\n" + strings.Repeat("x", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", g.svc.Addr())
			must(t, err)
			defer c.Close()
			must(t, c.SetDeadline(time.Now().Add(patience)))
			_, err = io.WriteString(c, wire)
			must(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			answered{resp.StatusCode, resp.Header, body}.problem(t, http.StatusRequestTimeout, "request_timeout")
		})
	}
}

func TestOneConnectionTooManyIsToldSo(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve(func(c *Config, _ *Deps) { c.MaxConnections = 2 })
	g.http.CloseIdleConnections()
	eventually(t, "no connection", func() bool { return g.svc.ln.count() == 0 })
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", g.svc.Addr())
		must(t, err)
		held = append(held, c)
	}
	eventually(t, "two connections", func() bool { return g.svc.ln.count() == 2 })
	c, err := net.Dial("tcp", g.svc.Addr())
	must(t, err)
	defer c.Close()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != 503 || !bytes.Contains(body, []byte("too_many_connections")) {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for _, h := range held {
		must(t, h.Close())
	}
}

// brokenBlobs panics when it is used.
type brokenBlobs struct{ Blobs }

func (brokenBlobs) Ready(context.Context) error { return nil }

func TestAPanicIsAProblemAndNothingMore(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(_ *Config, d *Deps) { d.Blobs = brokenBlobs{} })
	got := g.do(http.MethodPost, "/v1/documents", strings.NewReader("x"), header{"Content-Type": "text/plain"})
	got.problem(t, http.StatusInternalServerError, "internal")
	if bytes.Contains(got.body, []byte("nil pointer")) || !strings.Contains(s.logs.String(), "nil pointer") {
		t.Fatalf("%s", got.body)
	}
	g.get("/v1/documents/"+corpus.NewID()).problem(t, http.StatusNotFound, "document_not_found")
	if n := g.svc.uploads.inUse(); n != 0 {
		t.Fatalf("%d upload slots are lost", n)
	}
}
