package gateway

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/access"
)

// guarded checks the headers that no response may lack.
func guarded(t *testing.T, what string, h http.Header) {
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
	} {
		if got := h.Get(name); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s is %q", what, name, got)
		}
	}
	if h.Get("Cache-Control") == "" || h.Get("Cross-Origin-Resource-Policy") == "" || h.Get("Access-Control-Allow-Credentials") != "" || h.Get("Server") != "" {
		t.Errorf("%s: %v", what, h)
	}
}

func TestEveryResponseIsGuarded(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.workers(complete("Yes."))
	g := s.serve(s.withKeys())
	h := s.key(access.Key{})
	h["Content-Type"] = "application/json"
	g.postJSON("/v1/documents", `{"text":"<script>","id":"d","filename":"x.html","media_type":"text/html"}`, h).document(t, http.StatusAccepted)
	for _, rt := range routes() {
		path := rt.pathOf("d")
		guarded(t, rt.method+" "+path, g.do(rt.method, path, strings.NewReader(`{"question":"Why?"}`), h).header)
		guarded(t, rt.method+" "+path+" of a stranger", g.do(rt.method, path, nil, nil).header)
	}
	stream := g.postJSON("/v1/chat", `{"question":"Why?","stream":true}`, h)
	guarded(t, "a stream", stream.header)
	for name, wire := range map[string]string{
		"no HTTP": "hello\r\n\r\n", "an unknown method": "BREW / HTTP/1.1\r\nHost: h\r\n\r\n", "no route": "GET /x HTTP/1.1\r\nHost: h\r\n\r\n",
		"a wrong method": "PUT /v1/chat HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		got := g.talk(t, wire)
		if len(got) != 1 {
			t.Fatalf("%s: %d answers", name, len(got))
		}
		guarded(t, name, got[0].header)
	}
	ours, theirs := net.Pipe()
	go refuse(theirs)
	resp, err := http.ReadResponse(bufio.NewReader(ours), nil)
	must(t, err)
	guarded(t, "a connection too many", resp.Header)
	must(t, resp.Body.Close())
	must(t, ours.Close())
}

func TestPagesCallWithKeysFromNamedOrigins(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	named := s.serve(s.withKeys(), func(c *Config, _ *Deps) { c.CORSOrigins = []string{"https://app.example"} })
	anyone := s.serve(s.withKeys(), func(c *Config, _ *Deps) { c.CORSOrigins = []string{"*"} })
	off := s.serve(s.withKeys())
	key := s.key(access.Key{})["Authorization"]
	for name, c := range map[string]struct {
		g      *server
		origin string
		allow  string
	}{
		"named":          {named, "https://app.example", "https://app.example"},
		"another":        {named, "https://evil.example", ""},
		"a longer one":   {named, "https://app.example.evil.example", ""},
		"a prefix":       {named, "https://app", ""},
		"another scheme": {named, "http://app.example", ""},
		"null":           {named, "null", ""},
		"every one":      {anyone, "https://evil.example", "*"},
		"off":            {off, "https://app.example", ""},
	} {
		preflight := c.g.do(http.MethodOptions, "/v1/documents", nil, header{
			"Origin": c.origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization",
		})
		if got := preflight.header.Get("Access-Control-Allow-Origin"); got != c.allow || (preflight.status == http.StatusNoContent) != (c.allow != "") {
			t.Errorf("%s: preflight is %d and allows %q", name, preflight.status, got)
		}
		if c.allow != "" && !strings.Contains(preflight.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%s: preflight has %v", name, preflight.header)
		}
		// With a key the request is the caller's, wherever its page came from; only reading the answer is for named origins.
		got := c.g.do(http.MethodGet, "/v1/documents", nil, header{"Origin": c.origin, "Authorization": key})
		if allow := got.header.Get("Access-Control-Allow-Origin"); got.status != http.StatusOK || allow != c.allow || got.header.Get("Vary") == "" {
			t.Errorf("%s: %d, %v", name, got.status, got.header)
		}
		guarded(t, name, got.header)
	}
	// Hosts are checked only where nobody is asked who they are.
	if got := named.do(http.MethodGet, "/v1/documents", nil, header{"Authorization": key}); got.status != http.StatusOK {
		t.Error(got.status)
	}
	if got := named.talk(t, "GET /v1/documents HTTP/1.1\r\nHost: ragbus.example\r\nAuthorization: "+key+"\r\n\r\n"); len(got) != 1 || got[0].status != http.StatusOK {
		t.Errorf("%+v", got)
	}
}
