package client

import "time"

// Document is a document as the API describes it.
type Document struct {
	ID         string         `json:"id"`
	Collection string         `json:"collection"`
	Title      string         `json:"title"`
	Filename   string         `json:"filename"`
	Source     *string        `json:"source"`
	MediaType  string         `json:"media_type"`
	Bytes      int64          `json:"bytes"`
	SHA256     string         `json:"sha256"`
	Version    string         `json:"version"`
	Status     string         `json:"status"`
	Progress   Progress       `json:"progress"`
	Pages      *int           `json:"pages"`
	Error      *DocumentError `json:"error"`
	Warnings   []string       `json:"warnings"`
	Metadata   map[string]any `json:"metadata"`
	ACL        []string       `json:"acl"`
	CreatedAt  time.Time      `json:"created_at"`
	UpdatedAt  time.Time      `json:"updated_at"`
	IndexedAt  *time.Time     `json:"indexed_at"`
}

// Settled reports whether nothing more happens to the document by itself.
func (d Document) Settled() bool {
	return d.Status == "indexed" || d.Status == "failed" || d.Status == "deleted"
}

// Progress counts chunks.
type Progress struct {
	Chunks   int `json:"chunks"`
	Embedded int `json:"embedded"`
}

// DocumentError says why a document failed.
type DocumentError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

// Page is one page of a list.
type Page[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// Passage is a search result.
type Passage struct {
	ID         string  `json:"id"`
	DocumentID string  `json:"document_id"`
	Title      string  `json:"title"`
	Source     *string `json:"source"`
	Section    string  `json:"section"`
	PageStart  *int    `json:"page_start"`
	Text       string  `json:"text"`
	Score      float64 `json:"score"`
}

// SearchResult answers a search.
type SearchResult struct {
	Query    string    `json:"query"`
	Passages []Passage `json:"passages"`
}

// Citation ties a marker to a quote.
type Citation struct {
	Marker     int    `json:"marker"`
	DocumentID string `json:"document_id"`
	Title      string `json:"title"`
	Page       *int   `json:"page"`
	Quote      string `json:"quote"`
}

// Answer is a chat as the API describes it.
type Answer struct {
	ID             string     `json:"id"`
	ConversationID string     `json:"conversation_id"`
	Status         string     `json:"status"`
	Answer         string     `json:"answer"`
	Grounded       bool       `json:"grounded"`
	Reason         *string    `json:"reason"`
	Citations      []Citation `json:"citations"`
	Sources        []Passage  `json:"sources"`
	SearchQuery    string     `json:"search_query"`
	Model          string     `json:"model"`
	Timings        struct {
		TotalMS float64 `json:"total_ms"`
	} `json:"timings"`
	Error *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// Health is how the server and its parts are.
type Health struct {
	Status    string            `json:"status"`
	Timestamp time.Time         `json:"timestamp"`
	Services  map[string]string `json:"services"`
}
