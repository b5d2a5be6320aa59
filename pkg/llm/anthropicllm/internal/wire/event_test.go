package wire

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/llm/anthropicllm/anthropictest"
)

// delta returns an event with a piece of text, as Anthropic writes it but for what is given.
func delta(text string) string {
	return `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":` + text + `}}`
}

func TestEventsAreReadAsFarAsTheyCanBe(t *testing.T) {
	t.Parallel()
	// event is what is read of one.
	type event struct {
		Type, Delta, Text, Stop string
		Prompt, Completion      int
	}
	text := event{Type: ContentBlockDelta, Delta: TextDelta, Text: "a"}
	for in, want := range map[string]event{
		delta(`"a"`):               text,
		delta(`"a"`) + "   \n":     text,
		"\t " + delta(`"a"      `): text,
		`{ "type" : "content_block_delta" , "index" : 3 , "delta" : { "type" : "text_delta" , "text" : "a" } }`: text,
		`{"delta":{"text":"a","type":"text_delta"},"type":"content_block_delta","index":0}`:                     text,
		`{"type":"content_block_delta","index":12,"delta":{"type":"text_delta","text":"a"},"more":[1]}`:         text,
		delta(`"\"a\n\u00e4\ud83e\udd86\\"`): {ContentBlockDelta, TextDelta, "\"a\nä🦆\\", "", 0, 0},
		delta(`"\ud800"`):                    {ContentBlockDelta, TextDelta, "\ufffd", "", 0, 0},
		delta("\"a\xffb 東\""):                {ContentBlockDelta, TextDelta, "a\ufffdb 東", "", 0, 0},
		delta(`""`):                          {Type: ContentBlockDelta, Delta: TextDelta},
		delta(`null`):                        {Type: ContentBlockDelta, Delta: TextDelta},
		delta(`42`):                          {Type: ContentBlockDelta, Delta: TextDelta},
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}`:                    {Type: ContentBlockDelta, Delta: "thinking_delta"},
		`{"type":"content_block_delta","index":{},"delta":{"type":"text_delta","text":"a"}}`:                            text,
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"b"}}`:                           {Type: "content_block_start"},
		`{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":2,"output_tokens":3}}}`: {Type: MessageStart, Prompt: 3, Completion: 3},
		`{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_creation_input_tokens":null,"x":{}}}}`:     {Type: MessageStart, Prompt: 1},
		`{"type":"message_start","message":[{"usage":{"input_tokens":1}}]}`:                                             {Type: MessageStart},
		`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":7}}`:  {Type: MessageDelta, Stop: "end_turn", Completion: 7},
		`{"type":"message_delta","delta":{"stop_reason":null},"usage":null}`:                                            {Type: MessageDelta},
		`{"type":"message_delta","delta":{"stop_reason":["x"]},"usage":{"input_tokens":-4,"output_tokens":"12"}}`:       {Type: MessageDelta, Completion: 12},
		`{"type":"message_delta","usage":{"output_tokens":7},"delta":"none"}`:                                           {Type: MessageDelta, Completion: 7},
		`{"type":"of_tomorrow","delta":{"type":5}}`:                                                                     {Type: "of_tomorrow"},
		`{"type":["message_stop"]}`: {},
		`{}`:                        {},
		` null `:                    {},
	} {
		e, err := parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		usage := e.Usage
		if e.Type == MessageStart {
			usage = e.Message.Usage
		}
		if diff := cmp.Diff(want, event{e.Type, e.Delta.Type, e.Delta.Text, e.Delta.StopReason, usage.Prompt(), int(usage.OutputTokens)}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
	for _, in := range []string{
		`[]`, `"a"`, `5`, `true`, `{`, ``, `nul`, delta(`"a`), delta(`"a` + "\n" + `"`), delta(`"a"`) + `}`, delta(`"a" "b"`), delta(`"\x"`),
		strings.Replace(delta(`"a"`), `:0,`, `:00,`, 1), strings.TrimSuffix(delta(`"a"`), "}"),
	} {
		if e, err := parse([]byte(in)); err == nil {
			t.Errorf("%s is read as %+v", in, e)
		}
	}
}

// TestPlainTextTakesTheShortWay sees that what Anthropic sends most of all is not left to the slow decoder.
func TestPlainTextTakesTheShortWay(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]bool{
		delta(`"some <words> 東"`):                               true,
		delta(`""`) + "\n":                                      true,
		strings.Replace(delta(`"a"`), "}}", "}         }", 1):   true, // Anthropic hides the length of a piece so
		strings.Replace(delta(`"a"`), `:0,`, `:9,`, 1):          true,
		delta(`"a\n"`):                                          false,
		strings.Replace(delta(`"a"`), `:0,`, `:`, 1):            false,
		strings.Replace(delta(`"a"`), `"index"`, `"other"`, 1):  false,
		strings.Replace(delta(`"a"`), "text_delta", "other", 1): false,
	} {
		if _, ok := plainText([]byte(in)); ok != want {
			t.Errorf("%s: %t, want %t", in, ok, want)
		}
	}
	_, sent, _ := strings.Cut(anthropictest.Text("words"), "data: ")
	if text, ok := plainText([]byte(sent)); !ok || text != "words" {
		t.Errorf("the emulator's %s goes the long way", sent)
	}
}

func FuzzEvent(f *testing.F) {
	for _, seed := range []string{
		delta(`"a"`), delta(`"a\n\ud800"`), delta(`"a" "b"`), delta("\"\xff\""), delta(`"a"`) + " }", ` { "type" : "content_block_delta" , "index" : 07`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"a"    }   }`,
		`{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":"2","output_tokens":1e400}}}`,
		`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":-7}}`, `null`, ` {}`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parse(data)
		slow, slowErr := parseAny(data)
		if got != slow || (err == nil) != (slowErr == nil) {
			t.Errorf("%q is %+v, %v, and the long way %+v, %v", data, got, err, slow, slowErr)
		}
		var object map[string]any
		if json.Unmarshal(data, &object) == nil && err != nil {
			t.Errorf("%q is an object and yet %v", data, err)
		}
		if !json.Valid(data) && err == nil {
			t.Errorf("%q is read as %+v", data, got)
		}
		if got.Usage.Prompt() < 0 || got.Message.Usage.Prompt() < 0 || got.Usage.OutputTokens < 0 {
			t.Errorf("%q has %+v", data, got)
		}
	})
}
