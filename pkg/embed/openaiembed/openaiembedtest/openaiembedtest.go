// Package openaiembedtest emulates OpenAI's /v1/embeddings over HTTP, in its
// real format and with its limits, and does what a script tells it. A kin of
// it stands for the local servers that speak the format their own way.
package openaiembedtest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
)

// Wire is the format. The zero value is OpenAI's own service.
type Wire struct {
	// Numbers has vectors sent as arrays whatever was asked for, as servers
	// without base64 do.
	Numbers bool
	// Dimensions is what is returned when none is asked for; zero: 1,536.
	Dimensions int
	// TextTokens replaces OpenAI's limit of 8,192 a text; with it, too long
	// texts are refused in the words of llama.cpp.
	TextTokens int
	// BatchTexts replaces OpenAI's limit of 2,048 texts.
	BatchTexts int
	// Open accepts requests without a key, as local servers do.
	Open bool
}

var _ emulator.Wire = Wire{}

type request struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	Dimensions     int             `json:"dimensions"`
	EncodingFormat string          `json:"encoding_format"`
}

// Read implements [emulator.Wire].
func (w Wire) Read(r *http.Request, body []byte) (emulator.Batch, *emulator.Refusal) {
	b := emulator.Batch{Key: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), Dimensions: w.Dimensions}
	if w.Open && b.Key == "" {
		b.Key = emulator.Key
	}
	if b.Dimensions == 0 {
		b.Dimensions = 1536
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/embeddings" {
		return b, &emulator.Refusal{Status: http.StatusNotFound, Message: "Invalid URL (" + r.Method + " " + r.URL.Path + ")"}
	}
	var in request
	if err := json.Unmarshal(body, &in); err != nil {
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "We could not parse the JSON body of your request."}
	}
	if json.Unmarshal(in.Input, &b.Texts) != nil {
		var single string
		if json.Unmarshal(in.Input, &single) != nil {
			return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "'$.input' is invalid."}
		}
		b.Texts = []string{single}
	}
	b.Model = in.Model
	if in.Dimensions != 0 {
		b.Dimensions = in.Dimensions
	}
	if strings.HasPrefix(in.Model, "no-such") {
		return b, &emulator.Refusal{
			Status:  http.StatusNotFound,
			Message: "The model `" + in.Model + "` does not exist or you do not have access to it.",
		}
	}
	return b, nil
}

type datum struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// Answer implements [emulator.Wire]. The vectors come in another order than
// the texts, which the index tells.
func (w Wire) Answer(b emulator.Batch, vectors [][]float32) []byte {
	var in request
	_ = json.Unmarshal(b.Body, &in) // Read has read it
	tokens := 0
	for _, text := range b.Texts {
		tokens += emulator.Tokens(text)
	}
	data := make([]datum, 0, len(vectors))
	for i, v := range slices.Backward(vectors) {
		d := datum{Object: "embedding", Index: i, Embedding: numbers(v)}
		if in.EncodingFormat == "base64" && !w.Numbers {
			d.Embedding = packed(v)
		}
		data = append(data, d)
	}
	return encode(map[string]any{
		"object": "list", "data": data, "model": b.Model,
		"usage": map[string]int{"prompt_tokens": tokens, "total_tokens": tokens},
	})
}

func packed(v []float32) string {
	raw := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(x))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// numbers writes NaN as null, as llama.cpp does.
func numbers(v []float32) json.RawMessage {
	out := []byte{'['}
	for i, x := range v {
		if i > 0 {
			out = append(out, ',')
		}
		if math.IsNaN(float64(x)) {
			out = append(out, "null"...)
			continue
		}
		out = strconv.AppendFloat(out, float64(x), 'g', -1, 32)
	}
	return append(out, ']')
}

// Refuse implements [emulator.Wire].
func (w Wire) Refuse(h http.Header, r emulator.Refusal) (int, []byte) {
	object := map[string]any{"message": r.Message, "type": "invalid_request_error", "param": nil, "code": nil}
	switch {
	case r.WrongKey:
		object["code"] = "invalid_api_key"
	case r.Status == http.StatusNotFound:
		object["code"] = "model_not_found"
	case r.Failure == emulator.NoCredit:
		object["type"], object["code"] = "insufficient_quota", "insufficient_quota"
		object["message"] = "You exceeded your current quota, please check your plan and billing details."
	case r.Failure == emulator.Throttled:
		object["type"], object["code"] = "requests", "rate_limit_exceeded"
		object["message"] = "Rate limit reached for text-embedding-3-small in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1."
		if r.Pause > 0 {
			h.Set("Retry-After", fmt.Sprint(int(r.Pause.Seconds())))
			h.Set("Retry-After-Ms", fmt.Sprint(r.Pause.Milliseconds()))
		}
	case r.Failure == emulator.TooLong && w.TextTokens > 0:
		// llama.cpp answers 500 for this.
		r.Status = http.StatusInternalServerError
		object = map[string]any{"code": 500, "type": "server_error", "message": "input is too large to process. increase the physical batch size"}
	case r.Failure == emulator.TooLong:
		object["message"] = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens (9000 in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
	case r.Status >= http.StatusInternalServerError:
		object["type"] = "server_error"
		object["message"] = "The server had an error while processing your request. Sorry about that!"
	}
	return r.Status, encode(map[string]any{"error": object})
}

// Odd implements [emulator.Wire].
func (w Wire) Odd() []byte { return []byte(`{"object":"list","data":"soon"}`) }

// Limits implements [emulator.Wire].
func (w Wire) Limits() emulator.Limits {
	l := emulator.Limits{BatchTexts: 2048, BatchTokens: 300_000, TextTokens: 8192}
	if w.TextTokens > 0 {
		l.TextTokens = w.TextTokens
	}
	if w.BatchTexts > 0 {
		l.BatchTexts = w.BatchTexts
	}
	return l
}

func encode(v any) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("openaiembedtest: %v", err)) // maps of strings and numbers encode
	}
	return out.Bytes()
}

// New returns an emulator of OpenAI's service; its base URL is the server's with "/v1/".
func New(script emulator.Script) *emulator.Server { return emulator.New(Wire{}, script) }
