package gateway

import (
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"
)

// route is one line of the API.
type route struct {
	method, path string
	handle       func(*request) error
	// within bounds the handler; zero for those that bound themselves.
	within time.Duration
}

// brisk bounds handlers that only ask stores.
const brisk = 30 * time.Second

// routes is the whole API. docs/openapi.yaml describes it, and a test compares the two.
func routes() []route {
	const get, head, post, patch, del = http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete
	return []route{
		{post, "/v1/documents", (*request).postDocument, 0},
		{get, "/v1/documents", (*request).listDocuments, brisk},
		{get, "/v1/documents/:id", (*request).getDocument, maxWait + brisk},
		{patch, "/v1/documents/:id", (*request).patchDocument, brisk},
		{del, "/v1/documents/:id", (*request).deleteDocument, brisk},
		{get, "/v1/documents/:id/content", (*request).getContent, brisk},
		{head, "/v1/documents/:id/content", (*request).getContent, brisk},
		{get, "/v1/documents/:id/chunks", (*request).listChunks, brisk},
		{post, "/v1/documents/:id/retry", (*request).retryDocument, brisk},

		{post, "/v1/search", (*request).search, brisk},

		{post, "/v1/chat", (*request).postChat, 0},
		{get, "/v1/chat/:id", (*request).getChat, brisk},
		{del, "/v1/chat/:id", (*request).cancelChat, brisk},
		{get, "/v1/chat/:id/stream", (*request).streamChat, 0},

		{get, "/v1/conversations", (*request).listConversations, brisk},
		{get, "/v1/conversations/:id", (*request).getConversation, brisk},
		{del, "/v1/conversations/:id", (*request).deleteConversation, brisk},
		{get, "/v1/conversations/:id/messages", (*request).listMessages, brisk},

		{post, "/v1/events", (*request).postEvents, brisk},

		{get, "/livez", (*request).livez, brisk},
		{head, "/livez", (*request).livez, brisk},
		{get, "/readyz", (*request).readyz, brisk},
		{head, "/readyz", (*request).readyz, brisk},
		{get, "/health", (*request).health, brisk},
		{get, "/metrics", (*request).scrape, brisk},
		{get, "/version", (*request).version, brisk},
		{get, "/openapi.json", (*request).openAPI, brisk},
	}
}

// mount registers every route.
func (s *Service) mount(app *fiber.App) {
	app.Use(s.observe)
	for _, rt := range routes() {
		app.Add(rt.method, rt.path, s.serve(rt))
	}
}
