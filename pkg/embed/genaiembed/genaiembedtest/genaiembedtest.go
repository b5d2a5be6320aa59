// Package genaiembedtest emulates the Gemini API's batchEmbedContents over
// HTTP, in its real format and with its limits, and does what a script tells it.
package genaiembedtest

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"

	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
)

// Wire is the format.
type Wire struct{}

var _ emulator.Wire = Wire{}

// Request is what comes.
type Request struct {
	Requests []struct {
		Model   string `json:"model"`
		Content struct {
			Parts []struct {
				Text string `json:"text"`
			} `json:"parts"`
		} `json:"content"`
		TaskType             string `json:"taskType"`
		OutputDimensionality int    `json:"outputDimensionality"`
	} `json:"requests"`
}

// Read implements [emulator.Wire].
func (Wire) Read(r *http.Request, body []byte) (emulator.Batch, *emulator.Refusal) {
	b := emulator.Batch{Key: r.Header.Get("X-Goog-Api-Key"), Dimensions: 3072}
	model, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1beta/models/"), ":batchEmbedContents")
	if r.Method != http.MethodPost || !ok || strings.HasPrefix(model, "no-such") {
		return b, &emulator.Refusal{Status: http.StatusNotFound, Message: "models/" + model + " is not found for API version v1beta, or is not supported for embedContent."}
	}
	b.Model = model
	var in Request
	if err := json.Unmarshal(body, &in); err != nil || len(in.Requests) == 0 {
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "Invalid JSON payload received."}
	}
	if len(body) > 4<<20 {
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Failure: emulator.TooLong, Message: "Request payload size exceeds the limit: 4194304 bytes."}
	}
	second := strings.HasPrefix(model, "gemini-embedding-2")
	for _, one := range in.Requests {
		if one.Model != "models/"+model || len(one.Content.Parts) != 1 {
			return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "* BatchEmbedContentsRequest.requests[0]: model and content are required\n"}
		}
		task, text := one.TaskType, one.Content.Parts[0].Text
		if second {
			if one.TaskType != "" {
				return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "taskType is not supported by this model."}
			}
			task, text = understood(text)
		}
		b.Task, b.Texts = task, append(b.Texts, text)
		if one.OutputDimensionality > 0 {
			b.Dimensions = one.OutputDimensionality
		}
	}
	return b, nil
}

// understood parts what the second generation reads as an instruction from the text.
func understood(text string) (task, rest string) {
	for _, task := range []string{"task: search result | query: ", "title: none | text: "} {
		if rest, ok := strings.CutPrefix(text, task); ok {
			return task, rest
		}
	}
	return "", text
}

// Answer implements [emulator.Wire]. NaN is written as protocol buffers do in JSON.
func (Wire) Answer(_ emulator.Batch, vectors [][]float32) []byte {
	type embedding struct {
		Values []any `json:"values"`
	}
	out := struct {
		Embeddings []embedding `json:"embeddings"`
	}{Embeddings: make([]embedding, len(vectors))}
	for i, v := range vectors {
		values := make([]any, len(v))
		for j, x := range v {
			values[j] = x
			if math.IsNaN(float64(x)) {
				values[j] = "NaN"
			}
		}
		out.Embeddings[i].Values = values
	}
	return encode(out)
}

// Refuse implements [emulator.Wire].
func (Wire) Refuse(_ http.Header, r emulator.Refusal) (int, []byte) {
	object := map[string]any{"code": r.Status, "message": r.Message, "status": "INVALID_ARGUMENT"}
	switch {
	case r.WrongKey:
		// The service answers 400, not 401.
		r.Status = http.StatusBadRequest
		object["code"], object["message"] = r.Status, "API key not valid. Please pass a valid API key. "+r.Message
		object["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}}
	case r.Status == http.StatusNotFound:
		object["status"] = "NOT_FOUND"
	case r.Failure == emulator.Throttled, r.Failure == emulator.NoCredit:
		object["status"] = "RESOURCE_EXHAUSTED"
		object["message"] = "You exceeded your current quota, please check your plan and billing details."
		if r.Pause > 0 {
			object["details"] = []any{map[string]any{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": fmt.Sprintf("%ds", int(r.Pause.Seconds()))}}
		}
	case r.Failure == emulator.TooLong && !strings.HasPrefix(r.Message, "Request payload"):
		object["message"] = "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."
	case r.Status >= http.StatusInternalServerError:
		object["status"], object["message"] = "INTERNAL", "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"
	}
	return r.Status, encode(map[string]any{"error": object})
}

// Odd implements [emulator.Wire].
func (Wire) Odd() []byte { return []byte(`{"embeddings":"soon"}`) }

// Limits implements [emulator.Wire].
func (Wire) Limits() emulator.Limits { return emulator.Limits{BatchTexts: 100, TextTokens: 8192} }

func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("genaiembedtest: %v", err)) // strings and finite numbers encode
	}
	return out
}

// New returns an emulator; its base URL is the server's.
func New(script emulator.Script) *emulator.Server { return emulator.New(Wire{}, script) }
