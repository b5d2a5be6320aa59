package conversation_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/conversation"
)

func TestAnAnswersJSONIsThatOfItsFields(t *testing.T) {
	t.Parallel()
	reason := `"sources":null`
	for name, a := range map[string]conversation.Answer{
		"empty":           {},
		"without sources": {ID: "q", Answer: `he said "sources":null`, Reason: &reason},
		"with sources": {
			ID: `"sources":null`, Answer: `"sources":null`, Reason: &reason, Sources: json.RawMessage(`[{"id":"p1","text":"\"sources\":null"}]`),
			Citations: []conversation.Citation{{Marker: 1}}, CreatedAt: time.Unix(1, 0).UTC(),
		},
	} {
		want, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.JSON()
		if err != nil || cmp.Diff(string(want), string(got)) != "" {
			t.Errorf("%s: %v\n%s", name, err, cmp.Diff(string(want), string(got)))
		}
	}
}
