package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestNumbersThatComeBackAsTheyAreAreTaken(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]bool{
		"0": true, "-0": true, "0.1": true, "-1.5e-7": true, "1e23": true, "1e-999": true,
		"9007199254740992": true, "-9007199254740992": true, "9007199254740994": true, "1e308": true,
		"9007199254740993": false, "-9007199254740993": false, "1234567890123456789": false,
		"100000000000000000000000": false, "1e309": false, "-1e999": false, strings.Repeat("9", 400): false,
	} {
		var metadata map[string]any
		_, err := decodeObject([]byte(`{"metadata":{"k":`+number+`}}`), field{"metadata", &metadata})
		if err != nil {
			if code, _ := fault.Public(err); want || code != "inexact_number" || fault.Field(err) != "metadata.k" {
				t.Errorf("%.30s: %v of %s", number, err, fault.Field(err))
			}
			continue
		}
		back, err := json.Marshal(metadata["k"])
		must(t, err)
		if !want || !strings.ContainsAny(number, ".e") && string(back) != number {
			t.Errorf("%.30s became %s", number, back)
		}
	}
}

func TestNamesThatComeTwiceAreFoundWhereverTheyAre(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"x":{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}}`: "",
		`{"x":{"a":1,"b":2,"a":3}}`:                       "x.a",
		`{"x":{"a":1,"\u0061":3}}`:                        "x.a",
		`{"x":{"b":{"c":1,"c":1}}}`:                       "x.b.c",
		`{"x":[{"c":1,"d":[{"e":1,"e":2}]}]}`:             "x.d.e",
		`{"x": [ 1, {"":1,"":1} ] }`:                      "x.",
		`{"x":{"` + strings.Repeat("k", 99) + `":1,"` + strings.Repeat("k", 99) + `":1}}`: "x." + strings.Repeat("k", 62) + "…",
	} {
		var x json.RawMessage
		_, err := decodeObject([]byte(body), field{"x", &x})
		if code, _ := fault.Public(err); want == "" && err != nil || want != "" && (code != "duplicate_field" || fault.Field(err) != want) {
			t.Errorf("%s: %v of %q", body, err, fault.Field(err))
		}
	}
}
