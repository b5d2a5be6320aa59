package event

import (
	"time"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// SearchQueue is the queue group in which retrievers answer searches.
const SearchQueue = "retriever"

// SearchFilter is the subject of searches of every tenant.
const SearchFilter = "rag.search.v1.*"

// SearchSubject returns the subject on which a tenant's searches are asked.
// A search is a core NATS request: it is worthless after its caller left, so
// nothing stores it, and "no responders" tells at once that no retriever runs.
func SearchSubject(tenant string) string { return "rag.search.v1." + tenant }

// Search asks a retriever for passages.
type Search struct {
	Tenant      string        `json:"tenant"`
	Principals  []string      `json:"principals,omitempty"`
	Query       string        `json:"query"`
	Limit       int           `json:"limit"`
	Collections []string      `json:"collections,omitempty"`
	Filter      corpus.Filter `json:"filter,omitempty"`
	// Mode is hybrid, keyword or dense.
	Mode     string    `json:"mode"`
	Deadline time.Time `json:"deadline"`
	// Signature is the gateway's; see package access.
	Signature string `json:"signature,omitempty"`
}

// SearchResult answers a Search: passages, or a problem.
type SearchResult struct {
	Passages []corpus.Passage `json:"passages"`
	Timings  SearchTimings    `json:"timings"`
	Problem  *Problem         `json:"problem,omitempty"`
}

// SearchTimings are milliseconds.
type SearchTimings struct {
	EmbedMS  float64 `json:"embed_ms"`
	SearchMS float64 `json:"search_ms"`
	TotalMS  float64 `json:"total_ms"`
	// Degraded names what had to be left out, e.g. "dense".
	Degraded []string `json:"degraded,omitempty"`
}

// Problem is a fault on the wire: class, code and message as package fault defines them.
type Problem struct {
	Class   string `json:"class"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	// RetryAfterMS is a Throttled fault's pause.
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
}
