package deadletter

import (
	"strings"
	"testing"
)

func TestAPayloadIsCutWhenMoreIsThereThanIsShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data, text string
		cut        bool
	}{
		"a text":               {"not json", "not json", false},
		"bytes":                {"%PDF\xff\x00\x1b\x80.7", "%PDF.....7", false},
		"a long text":          {strings.Repeat("ü", maxShownText), strings.Repeat("ü", maxShownText/2), true},
		"many bytes":           {strings.Repeat("\xff", maxShownText+1), strings.Repeat(".", maxShownText), true},
		"as many as have room": {strings.Repeat("\xff", maxShownText), strings.Repeat(".", maxShownText), false},
		"a large JSON":         {`"` + strings.Repeat("x", maxShownJSON) + `"`, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := (Full{data: []byte(c.data)}).Payload(); got.Text != c.text || got.Cut != c.cut {
				t.Errorf("got %d bytes %.20q, cut %t", len(got.Text), got.Text, got.Cut)
			}
		})
	}
}
