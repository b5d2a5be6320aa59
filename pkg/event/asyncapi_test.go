package event

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTheDescriptionListsEveryEvent compares docs/asyncapi.yaml with the code, both ways.
func TestTheDescriptionListsEveryEvent(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]string{}
	subject := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "address: "); ok {
			subject = strings.TrimSuffix(rest, "{tenant}")
		}
		if _, rest, ok := strings.Cut(line, "name: ragbus."); ok && subject != "" {
			name, _, _ := strings.Cut(rest, ",")
			described[subject] = "ragbus." + name
		}
	}
	want := map[string]string{}
	for _, k := range Kinds() {
		want[k.subjectPrefix()] = k.CloudEventType()
	}
	if diff := cmp.Diff(want, described); diff != "" {
		t.Error(diff)
	}
}
