// Package cohereembedtest emulates Cohere's /v2/embed over HTTP, in its real
// format and with its limits, and does what a script tells it.
package cohereembedtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
)

// Wire is the format.
type Wire struct{}

var _ emulator.Wire = Wire{}

// Read implements [emulator.Wire]. Long texts are cut by the service, as the
// request's truncate says, so that the batch holds what the model reads.
func (Wire) Read(r *http.Request, body []byte) (emulator.Batch, *emulator.Refusal) {
	b := emulator.Batch{Key: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	var in struct {
		Model           string   `json:"model"`
		InputType       string   `json:"input_type"`
		Texts           []string `json:"texts"`
		EmbeddingTypes  []string `json:"embedding_types"`
		OutputDimension int      `json:"output_dimension"`
		Truncate        string   `json:"truncate"`
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v2/embed" {
		return b, &emulator.Refusal{Status: http.StatusNotFound, Message: "404 page not found"}
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "invalid request: failed to parse JSON"}
	}
	b.Model, b.Task, b.Texts, b.Dimensions = in.Model, in.InputType, in.Texts, in.OutputDimension
	third := strings.HasSuffix(in.Model, "-v3.0")
	switch {
	case strings.HasPrefix(in.Model, "no-such"):
		return b, &emulator.Refusal{Status: http.StatusNotFound, Message: "model '" + in.Model + "' not found, make sure the correct model ID was used and that you have access to the model."}
	case len(in.EmbeddingTypes) != 1 || in.EmbeddingTypes[0] != "float":
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "invalid request: embedding_types must be specified"}
	case in.InputType != "search_query" && in.InputType != "search_document":
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "invalid request: valid input_type must be provided with the provided model"}
	case third && in.OutputDimension != 0:
		return b, &emulator.Refusal{Status: http.StatusBadRequest, Message: "invalid request: output_dimension is not supported by this model"}
	}
	if b.Dimensions == 0 {
		b.Dimensions = 1024
		if strings.Contains(in.Model, "light") {
			b.Dimensions = 384
		}
	}
	if in.Truncate == "END" {
		b.Texts = make([]string, len(in.Texts))
		for i, text := range in.Texts {
			b.Texts[i] = text[:min(len(text), 128_000)]
		}
	}
	return b, nil
}

// Answer implements [emulator.Wire]. NaN is written as Python does.
func (Wire) Answer(b emulator.Batch, vectors [][]float32) []byte {
	var out bytes.Buffer
	out.WriteString(`{"id":"5807ee2e-0cda-445a-9ec8-864c60a06606","embeddings":{"float":[`)
	for i, v := range vectors {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('[')
		for j, x := range v {
			if j > 0 {
				out.WriteByte(',')
			}
			if math.IsNaN(float64(x)) {
				out.WriteString("NaN")
				continue
			}
			out.Write(strconv.AppendFloat(out.AvailableBuffer(), float64(x), 'g', -1, 32))
		}
		out.WriteByte(']')
	}
	tokens := 0
	for _, text := range b.Texts {
		tokens += emulator.Tokens(text)
	}
	_, _ = fmt.Fprintf(&out, `]},"texts":%s,"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":%d}},"response_type":"embeddings_by_type"}`,
		encode(b.Texts), tokens)
	return out.Bytes()
}

// Refuse implements [emulator.Wire].
func (Wire) Refuse(h http.Header, r emulator.Refusal) (int, []byte) {
	switch {
	case r.WrongKey:
		r.Message = "invalid api token: " + r.Message
	case r.Failure == emulator.NoCredit:
		r.Status, r.Message = http.StatusPaymentRequired, "Please add or update your payment method at https://dashboard.cohere.com/billing to continue"
	case r.Failure == emulator.Throttled:
		r.Message = "You are using a Trial key, which is limited to 100 API calls / minute. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits."
		if r.Pause > 0 {
			h.Set("Retry-After", fmt.Sprint(int(r.Pause.Seconds())))
		}
	case r.Failure == emulator.TooLong:
		r.Message = "invalid request: too many tokens: total number of tokens in the request cannot exceed 512"
	case r.Status >= http.StatusInternalServerError:
		r.Message = "internal server error, this has been reported to our developers."
	}
	return r.Status, encode(map[string]string{"id": "8ef6d2e1", "message": r.Message})
}

// Odd implements [emulator.Wire].
func (Wire) Odd() []byte { return []byte(`{"embeddings":{"float":"soon"}}`) }

// Limits implements [emulator.Wire].
func (Wire) Limits() emulator.Limits { return emulator.Limits{BatchTexts: 96} }

func encode(v any) []byte {
	out, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("cohereembedtest: %v", err)) // strings encode
	}
	return out
}

// New returns an emulator; its base URL is the server's.
func New(script emulator.Script) *emulator.Server { return emulator.New(Wire{}, script) }
