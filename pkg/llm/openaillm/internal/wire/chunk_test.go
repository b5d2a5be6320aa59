package wire

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEventsAreReadAsFarAsTheyCanBe(t *testing.T) {
	t.Parallel()
	// event is what is read of one.
	type event struct {
		Text, Refusal, Finish string
		Prompt, Completion    int
	}
	for in, want := range map[string]event{
		`{"choices":[{"delta":{"content":"a","refusal":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`: {"a", "b", "stop", 1, 2},
		`{"choices":[{"delta":{"content":null,"refusal":null},"finish_reason":null}],"usage":null}`:                                      {},
		`{"choices":[],"usage":{"prompt_tokens":3}}`:                                                                                     {Prompt: 3},
		`{}`:   {},
		`null`: {},
		`{"id":5,"choices":[{"delta":{"content":"a"}}],"created":"now"}`:             {Text: "a"},
		`{"choices":"none","usage":{"prompt_tokens":3}}`:                             {Prompt: 3},
		`{"choices":[7],"usage":{"prompt_tokens":3}}`:                                {Prompt: 3},
		`{"choices":[{"delta":[],"finish_reason":"stop"}]}`:                          {Finish: "stop"},
		`{"choices":[{"delta":{"content":"a","refusal":{}},"finish_reason":["x"]}]}`: {Text: "a"},
		`{"usage":7,"choices":[{"delta":{"content":"a"}}]}`:                          {Text: "a"},
		`{"usage":{"prompt_tokens":"12","completion_tokens":3.0}}`:                   {Prompt: 12, Completion: 3},
		`{"usage":{"prompt_tokens":"many","completion_tokens":7}}`:                   {Completion: 7},
		`{"usage":{"prompt_tokens":-1,"completion_tokens":1e300}}`:                   {},
		`{"usage":{"prompt_tokens":1e400,"completion_tokens":"Inf"}}`:                {},
		`{"usage":{"prompt_tokens":"NaN","completion_tokens":true}}`:                 {},
		`{"usage":{"prompt_tokens":[1],"completion_tokens":{}}}`:                     {},
		`{"choices":[{"delta":{"content":[{"type":"text","text":"a"},7,{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"b"}]}}]}`: {Text: "ab"},
		`{"choices":[{"delta":{"content":[{"type":"text","text":["a"]}]}}]}`:                                                                                         {},
		`{"choices":[{"delta":{"content":{"text":"a"}}}]}`:                                                                                                           {},
		`{"choices":[{"delta":{"content":42}}]}`:                                                                                                                     {Text: "42"},
		`{"choices":[{"delta":{"content":"\ud83e\udd86 \ud800"}}]}`:                                                                                                  {Text: "🦆 �"},
	} {
		var c Chunk
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Errorf("%s: %v", in, err)
		}
		got := event{Prompt: int(c.Usage.PromptTokens), Completion: int(c.Usage.CompletionTokens)}
		if len(c.Choices) > 0 {
			got.Text, got.Refusal, got.Finish = string(c.Choices[0].Delta.Content), c.Choices[0].Delta.Refusal, c.Choices[0].FinishReason
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
	for _, in := range []string{`[]`, `"a"`, `5`, `true`, `{`, ``, `{"choices":[}`} {
		var c Chunk
		if err := c.UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("%s is read as %+v", in, c)
		}
	}
}

func FuzzChunk(f *testing.F) {
	for _, seed := range []string{
		`{"choices":[{"delta":{"content":"a","refusal":"b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":"2"}}`,
		`{"choices":[{"delta":{"content":[{"type":"text","text":"a"},7]}}],"usage":{"prompt_tokens":1e400}}`, `null`, " null\n", ` {}`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Chunk
		direct := c.UnmarshalJSON(data)
		var object map[string]any
		if json.Unmarshal(data, &object) == nil && direct != nil {
			t.Errorf("%q is an object and yet %v", data, direct)
		}
		if !json.Valid(data) && direct == nil {
			t.Errorf("%q is read as %+v", data, c)
		}
		if c.Usage.PromptTokens < 0 || c.Usage.CompletionTokens < 0 {
			t.Errorf("%q has %+v", data, c.Usage)
		}
	})
}
