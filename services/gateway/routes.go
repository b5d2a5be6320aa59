package gateway

import (
	"net/http"
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
	handle func(*request) error
	// within bounds the handler; zero for those that bound themselves.
	within time.Duration
}

// brisk bounds handlers that only ask stores.
const brisk = 30 * time.Second

// routes is the whole API. docs/openapi.yaml describes it, and a test compares the two.
func routes() []route {
	const get, head, post, patch, del = http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete
	return []route{
		{post, "/v1/documents", access.DocumentsWrite, ofTenant, "", (*request).postDocument, 0},
		{get, "/v1/documents", access.DocumentsRead, ofTenant, "", (*request).listDocuments, brisk},
		{get, "/v1/documents/:id", access.DocumentsRead, ofTenant, "", (*request).getDocument, maxWait + brisk},
		{patch, "/v1/documents/:id", access.DocumentsWrite, ofTenant, "", (*request).patchDocument, brisk},
		{del, "/v1/documents/:id", access.DocumentsWrite, ofTenant, "document.delete", (*request).deleteDocument, brisk},
		{get, "/v1/documents/:id/content", access.DocumentsRead, ofTenant, "", (*request).getContent, brisk},
		{head, "/v1/documents/:id/content", access.DocumentsRead, ofTenant, "", (*request).getContent, brisk},
		{get, "/v1/documents/:id/chunks", access.DocumentsRead, ofTenant, "", (*request).listChunks, brisk},
		{post, "/v1/documents/:id/retry", access.DocumentsWrite, ofTenant, "document.retry", (*request).retryDocument, brisk},

		{post, "/v1/search", access.Chat, ofTenant, "", (*request).search, brisk},

		{post, "/v1/chat", access.Chat, ofOwner, "", (*request).postChat, 0},
		{get, "/v1/chat/:id", access.Chat, ofOwner, "", (*request).getChat, brisk},
		{del, "/v1/chat/:id", access.Chat, ofOwner, "", (*request).cancelChat, brisk},
		{get, "/v1/chat/:id/stream", access.Chat, ofOwner, "", (*request).streamChat, 0},

		{get, "/v1/conversations", access.Chat, ofOwner, "", (*request).listConversations, brisk},
		{get, "/v1/conversations/:id", access.Chat, ofOwner, "", (*request).getConversation, brisk},
		{del, "/v1/conversations/:id", access.Chat, ofOwner, "conversation.delete", (*request).deleteConversation, brisk},
		{get, "/v1/conversations/:id/messages", access.Chat, ofOwner, "", (*request).listMessages, brisk},

		{post, "/v1/events", access.Events, ofTenant, "", (*request).postEvents, brisk},

		{get, "/v1/dead-letters", access.Admin, ofTenant, "", (*request).listDeadLetters, brisk},
		{del, "/v1/dead-letters", access.Admin, ofTenant, "dead_letters.delete", (*request).deleteDeadLetters, brisk},
		{post, "/v1/dead-letters/redrive", access.Admin, ofTenant, "dead_letters.redrive", (*request).redriveDeadLetters, brisk},
		{get, "/v1/dead-letters/:id", access.Admin, ofTenant, "", (*request).getDeadLetter, brisk},
		{del, "/v1/dead-letters/:id", access.Admin, ofTenant, "dead_letter.delete", (*request).deleteDeadLetter, brisk},
		{post, "/v1/dead-letters/:id/redrive", access.Admin, ofTenant, "dead_letter.redrive", (*request).redriveDeadLetter, brisk},

		{get, "/livez", public, ofNobody, "", (*request).livez, brisk},
		{head, "/livez", public, ofNobody, "", (*request).livez, brisk},
		{get, "/readyz", public, ofNobody, "", (*request).readyz, brisk},
		{head, "/readyz", public, ofNobody, "", (*request).readyz, brisk},
		{get, "/health", public, ofNobody, "", (*request).health, brisk},
		{get, "/metrics", access.Admin, ofNobody, "", (*request).scrape, brisk},
		{get, "/version", public, ofNobody, "", (*request).version, brisk},
		{get, "/openapi.json", public, ofNobody, "", (*request).openAPI, brisk},
	}
}

// mount registers every route.
func (s *Service) mount(app *fiber.App) {
	app.Use(s.observe)
	for _, rt := range routes() {
		app.Add(rt.method, rt.path, s.serve(rt))
	}
}
