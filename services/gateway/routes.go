package gateway

import (
	"net/http"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/ragbus/ragbus/pkg/access"
)

// public is the scope of routes for everybody who reaches the server.
const public access.Scope = "public"

// binding says whose the things are that a route reads or changes. A test
// that goes over the table tries each route on what is another tenant's, and
// on what is another owner's where that is the binding.
type binding uint8

const (
	// ofNobody: the route touches nothing that has an owner.
	ofNobody binding = iota + 1
	// ofTenant: the tenant's, as far as the caller's principals may see it.
	ofTenant
	// ofOwner: the tenant's and the owner's.
	ofOwner
)

// route is one line of the API. Its literals are unkeyed on purpose: a line
// without a scope or a binding does not compile.
type route struct {
	method, path string
	scope        access.Scope
	bound        binding
	// action is what the route is called in the audit log; "" keeps it out.
	action string
	// params are the query parameters that it knows. Below /v1 any other is
	// refused; probes and scrapes may bring what they like.
	params []string
	handle func(*request) error
	// within bounds the handler; zero for those that bound themselves.
	within time.Duration
}

// brisk bounds handlers that only ask stores.
const brisk = 30 * time.Second

// routes is the whole API. docs/openapi.yaml describes it, and a test compares the two.
func routes() []route {
	const get, post, patch, del = http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete
	return []route{
		{post, "/v1/documents", access.DocumentsWrite, ofTenant, "", uploadFields(), (*request).postDocument, 0},
		{get, "/v1/documents", access.DocumentsRead, ofTenant, "", []string{"collection", "status", "limit", "cursor"}, (*request).listDocuments, brisk},
		{get, "/v1/documents/:id", access.DocumentsRead, ofTenant, "", []string{"wait"}, (*request).getDocument, maxWait + brisk},
		{patch, "/v1/documents/:id", access.DocumentsWrite, ofTenant, "", nil, (*request).patchDocument, brisk},
		{del, "/v1/documents/:id", access.DocumentsWrite, ofTenant, "document.delete", nil, (*request).deleteDocument, brisk},
		{get, "/v1/documents/:id/content", access.DocumentsRead, ofTenant, "", nil, (*request).getContent, brisk},
		{get, "/v1/documents/:id/chunks", access.DocumentsRead, ofTenant, "", []string{"limit", "cursor"}, (*request).listChunks, brisk},
		{post, "/v1/documents/:id/retry", access.DocumentsWrite, ofTenant, "document.retry", nil, (*request).retryDocument, brisk},

		{post, "/v1/search", access.Chat, ofTenant, "", nil, (*request).search, brisk},

		{post, "/v1/chat", access.Chat, ofOwner, "", nil, (*request).postChat, 0},
		{get, "/v1/chat/:id", access.Chat, ofOwner, "", nil, (*request).getChat, brisk},
		{del, "/v1/chat/:id", access.Chat, ofOwner, "", nil, (*request).cancelChat, brisk},
		{get, "/v1/chat/:id/stream", access.Chat, ofOwner, "", nil, (*request).streamChat, 0},

		{get, "/v1/conversations", access.Chat, ofOwner, "", []string{"limit", "cursor"}, (*request).listConversations, brisk},
		{get, "/v1/conversations/:id", access.Chat, ofOwner, "", nil, (*request).getConversation, brisk},
		{del, "/v1/conversations/:id", access.Chat, ofOwner, "conversation.delete", nil, (*request).deleteConversation, brisk},
		{get, "/v1/conversations/:id/messages", access.Chat, ofOwner, "", []string{"limit", "before"}, (*request).listMessages, brisk},

		{post, "/v1/events", access.Events, ofTenant, "", nil, (*request).postEvents, brisk},

		{get, "/v1/dead-letters", access.Admin, ofTenant, "", letterFilters(), (*request).listDeadLetters, brisk},
		{del, "/v1/dead-letters", access.Admin, ofTenant, "dead_letters.delete", letterFilters("all"), (*request).deleteDeadLetters, brisk},
		{post, "/v1/dead-letters/redrive", access.Admin, ofTenant, "dead_letters.redrive", nil, (*request).redriveDeadLetters, brisk},
		{get, "/v1/dead-letters/:id", access.Admin, ofTenant, "", nil, (*request).getDeadLetter, brisk},
		{del, "/v1/dead-letters/:id", access.Admin, ofTenant, "dead_letter.delete", nil, (*request).deleteDeadLetter, brisk},
		{post, "/v1/dead-letters/:id/redrive", access.Admin, ofTenant, "dead_letter.redrive", nil, (*request).redriveDeadLetter, brisk},

		{get, "/livez", public, ofNobody, "", nil, (*request).livez, brisk},
		{get, "/readyz", public, ofNobody, "", nil, (*request).readyz, brisk},
		{get, "/health", public, ofNobody, "", nil, (*request).health, brisk},
		{get, "/metrics", access.Admin, ofNobody, "", nil, (*request).scrape, brisk},
		{get, "/version", public, ofNobody, "", nil, (*request).version, brisk},
		{get, "/openapi.json", public, ofNobody, "", nil, (*request).openAPI, brisk},
	}
}

// hasHead reports whether HEAD is answered too. It is wherever GET is (RFC
// 9110, 9.1), but for streams, which nothing here bounds: their header says
// nothing before they have begun.
func (rt route) hasHead() bool { return rt.method == http.MethodGet && rt.within > 0 }

// absent reports whether a path is one of OpenAI's, which are not built, that
// an id in a path of ours would take in.
func absent(path string) bool {
	return path == "/v1/chat/completions" || strings.HasPrefix(path, "/v1/chat/completions/")
}

// mount registers every route.
func (s *Service) mount(app *fiber.App) {
	app.Use(s.observe)
	for _, rt := range routes() {
		app.Add(rt.method, rt.path, s.serve(rt))
		if rt.hasHead() {
			app.Add(http.MethodHead, rt.path, s.serve(rt))
		}
	}
}
