package corpus

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestTokensHoldNothingThatASubjectOrPathCouldMistake(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{"a", "A-z_0", strings.Repeat("x", MaxTokenLen)} {
		if err := CheckToken("id", ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a.b", "a/b", `a\b`, "*", ">", "a b", "ä", "a\x00", "\xff", strings.Repeat("x", MaxTokenLen+1)} {
		if err := CheckToken("id", bad); !fault.Is(err, fault.Invalid) || fault.Field(err) != "id" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestDerivedIDsAreTokensAndDependOnEveryPart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc"}} {
		for _, kind := range []string{"k", "l"} {
			id := DeriveID(kind, parts...)
			if err := CheckToken("id", id); err != nil || seen[id] || id != DeriveID(kind, parts...) {
				t.Errorf("%s %q: %s, %v", kind, parts, id, err)
			}
			seen[id] = true
		}
	}
	if a, b := NewID(), NewID(); a >= b || CheckToken("id", a) != nil {
		t.Errorf("%s, %s are not tokens in order", a, b)
	}
}

func TestAChunksIDNamesItsDocumentVersionAndPlace(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"": "d..12", "v1": "d.v1.12", "0123456789abcdef": "d.0123456789abcdef.12", "0123456789abcdef01": "d.0123456789abcdef.12",
	} {
		if got := (ChunkRef{Tenant: "t", Document: "d", Version: version, Ordinal: 12}).ID(); got != want {
			t.Errorf("version %q: %s, want %s", version, got, want)
		}
	}
}

func TestPointIDsTellChunksApart(t *testing.T) {
	t.Parallel()
	ref := ChunkRef{Tenant: "t", Document: "d", Version: strings.Repeat("v", 64), Ordinal: 1}
	ids := map[string]bool{PointID(ref, "p"): true, PointID(ref, "q"): true}
	for _, change := range []func(*ChunkRef){
		func(r *ChunkRef) { r.Tenant = "u" }, func(r *ChunkRef) { r.Document = "e" },
		func(r *ChunkRef) { r.Version = strings.Repeat("w", 64) }, func(r *ChunkRef) { r.Ordinal = 2 },
	} {
		other := ref
		change(&other)
		ids[PointID(other, "p")] = true
	}
	if len(ids) != 6 {
		t.Errorf("%d ids for 6 points", len(ids))
	}
}

func TestAScopeNeedsATenantAndSeesWhatIsSharedWithIt(t *testing.T) {
	t.Parallel()
	if _, err := NewScope(""); !fault.Is(err, fault.Invalid) {
		t.Errorf("a scope without tenant: %v", err)
	}
	if _, err := NewScope("t", "a\nb"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a principal with a line break: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the zero scope was used")
			}
		}()
		Scope{}.Principals()
	}()
	s, err := NewScope("t", "crew", "crew", "a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"*", "a", "crew"}, s.Principals()); diff != "" {
		t.Error(diff)
	}
	system, err := SystemScope("t")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		acl  []string
		want bool
	}{{nil, true}, {[]string{}, false}, {[]string{"captain"}, false}, {[]string{"captain", "crew"}, true}, {[]string{"*"}, true}} {
		if got := s.Sees(c.acl); got != c.want || !system.Sees(c.acl) {
			t.Errorf("acl %v: %v", c.acl, got)
		}
	}
}

func TestFiltersMatchAsTheAPISays(t *testing.T) {
	t.Parallel()
	metadata := map[string]any{"year": 2026.0, "lang": "en", "final": true}
	for text, want := range map[string]bool{
		`{}`: true, `null`: true,
		`{"metadata.year":2026}`: true, `{"metadata.year":"2026"}`: false, `{"metadata.lang":["de","en"]}`: true, `{"metadata.final":true}`: true,
		`{"metadata.year":{"gte":2026}}`: true, `{"metadata.year":{"gte":2027}}`: false, `{"metadata.year":{"gte":2020,"lte":2026}}`: true,
		`{"metadata.lang":{"gte":1}}`: false, `{"metadata.missing":1}`: false, `{"metadata.year":2026,"metadata.lang":"de"}`: false,
	} {
		var f Filter
		if err := json.Unmarshal([]byte(text), &f); err != nil || f.Matches(metadata) != want {
			t.Errorf("%s: %v, %v", text, f.Matches(metadata), err)
		}
	}
	for _, text := range []string{
		`[]`, `{"year":1}`, `{"metadata.":1}`, `{"metadata.a":null}`, `{"metadata.a":[]}`, `{"metadata.a":[[1]]}`, `{"metadata.a":{}}`, `{"metadata.a":{"gt":1}}`, `{"metadata.a":{"gte":"1"}}`,
	} {
		var f Filter
		if err := json.Unmarshal([]byte(text), &f); !fault.Is(err, fault.Invalid) || fault.Field(err) != "filter" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`{"metadata.a":1,"metadata.b":["x",true]}`, `{"metadata.a":{"gte":-1,"lte":1e300}}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var first Filter
		if json.Unmarshal(data, &first) != nil {
			return
		}
		text, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		var again Filter
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s does not read back: %v", text, err)
		}
		second, err := json.Marshal(again)
		if err != nil || string(second) != string(text) {
			t.Fatalf("%s became %s, %v", text, second, err)
		}
	})
}

func TestMetadataIsFlatAndBounded(t *testing.T) {
	t.Parallel()
	if err := CheckMetadata(map[string]any{"a": "b", "c": 1.5, "d": false}); err != nil {
		t.Error(err)
	}
	many := map[string]any{}
	for i := range MaxMetadataKeys + 1 {
		many[strings.Repeat("k", i+1)] = "v"
	}
	for _, bad := range []map[string]any{
		many,
		{"": "x"},
		{"a": nil},
		{"a": []any{1}},
		{"a": map[string]any{}},
		{"a": math.NaN()},
		{"a": math.Inf(1)},
		{"a": strings.Repeat("v", MaxMetadataValueLen+1)},
		{"\xff": "x"},
		{strings.Repeat("k", MaxMetadataKeyLen+1): "x"},
	} {
		if err := CheckMetadata(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", slices.Collect(func(yield func(string) bool) {
				for k := range bad {
					if !yield(k) {
						return
					}
				}
			}), err)
		}
	}
}

func TestAChunkIsEmbeddedWithItsHeader(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ title, section, want string }{
		{"T", "A › B", "T › A › B\ntext"}, {"", "A", "A\ntext"}, {"T", "", "T\ntext"}, {"", "", "text"}, {"A", "A › B", "A › B\ntext"}, {"A", "A", "A\ntext"}, {"A", "AB", "A › AB\ntext"},
	} {
		if got := (Chunk{Section: c.section, Text: "text"}).EmbeddingText(c.title); got != c.want {
			t.Errorf("%q %q: %q", c.title, c.section, got)
		}
	}
}
