package event

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/corpus"
)

// awkward are lists with everything that can be in one.
func awkward() map[string][]corpus.Passage {
	text := strings.Repeat("Zeile mit \"Anführung\" & <b>\\\n", 3) + "\b\f\r\t\x00\x1f\x7f \u2027\u2028\u2029\u202a é 汉 😀 \ufffd"
	full := corpus.Passage{
		ID: "doc.v.1", DocumentID: "doc", Version: "v", Title: text, Source: new("https://example.org/?a=1&b=<2>"), Section: "A › B",
		PageStart: new(0), PageEnd: new(-3), CharStart: math.MaxInt, CharEnd: math.MinInt, Text: text, Score: 0.016393442622950821,
		Scores: corpus.Scores{Keyword: new(1e-7), Dense: new(-1.5e300)},
	}
	small := corpus.Passage{Source: new(""), Score: math.Copysign(0, -1), Scores: corpus.Scores{Keyword: new(1e21), Dense: new(math.SmallestNonzeroFloat64)}}
	return map[string][]corpus.Passage{
		"full": {full}, "zero": {{}}, "small": {small}, "many": {full, {}, small, full, full, full, full, full, full, {Text: "\u2028"}},
		"ends": {{ID: `\`, DocumentID: `"`, Version: `\"`, Title: `\\`, Section: "\n", Text: "<"}},
	}
}

// TestPassagesAreWrittenAsTheGeneralEncoderDoes and read by the fast way, as the general one reads them.
func TestPassagesAreWrittenAsTheGeneralEncoderDoes(t *testing.T) {
	t.Parallel()
	for name, list := range awkward() {
		got, err := appendPassages(nil, list)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
		back, _, ok := readPassages(got)
		if diff := cmp.Diff(list, back); !ok || diff != "" {
			t.Errorf("%s: read %v (-want +got):\n%s", name, ok, diff)
		}
	}
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for name, p := range map[string]corpus.Passage{"score": {Score: f}, "keyword": {Scores: corpus.Scores{Keyword: &f}}, "dense": {Scores: corpus.Scores{Dense: &f}}} {
			if _, err := NewPassages([]corpus.Passage{p}); err == nil {
				t.Errorf("%s: %g was written", name, f)
			}
		}
	}
}

// FuzzWritePassages: whatever is in a passage, its JSON is that of encoding/json and is read back.
func FuzzWritePassages(f *testing.F) {
	f.Add("id", "Text \"<\n\u2028", "https://x.example", 3, 0.5, 1e-9)
	f.Add("\xff", "\xc3\x28\\", "", -1, math.Copysign(0, -1), 1e22)
	f.Fuzz(func(t *testing.T, id, text, source string, page int, score, dense float64) {
		list := []corpus.Passage{{
			ID: id, Title: text, Source: &source, PageStart: &page, CharEnd: page, Text: text, Score: score,
			Scores: corpus.Scores{Dense: &dense},
		}, {Text: text + id}}
		got, err := appendPassages(nil, list)
		want, wantErr := json.Marshal(list)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
		if err != nil {
			return
		}
		if string(got) != string(want) {
			t.Fatalf("%s\nwant\n%s", got, want)
		}
		var plain []corpus.Passage
		if err := json.Unmarshal(want, &plain); err != nil {
			t.Fatal(err)
		}
		back, _, ok := readPassages(got)
		if diff := cmp.Diff(plain, back); !ok || diff != "" {
			t.Fatalf("%s: read %v (-want +got):\n%s", got, ok, diff)
		}
	})
}

const askedHead = `{"asked":{"id":"a","conversation_id":"c","owner":"o","question":"q","asked_at":"2026-11-22T09:30:00Z"},"search_query":"q","relevant":true,"queue_ms":0,"retrieve_ms":0`

// FuzzReadPassages: what the fast way takes, the general decoder takes and reads alike.
func FuzzReadPassages(f *testing.F) {
	for _, list := range awkward() {
		text, err := json.Marshal(list)
		if err != nil {
			f.Fatal(err)
		}
		whole := askedHead + namePassages + string(text) + "}"
		f.Add([]byte(whole))
		f.Add([]byte(strings.Replace(whole, `{"asked"`, `{"passages":null,"asked"`, 1)))
		f.Add([]byte(strings.Replace(whole, `{"asked"`, `{"passages":[],"asked"`, 1)))
		f.Add([]byte(strings.Replace(whole, `{"asked"`, `{"p\u0061ssages":[],"asked"`, 1)))
		f.Add([]byte(strings.Replace(whole, `"q"`, `"q,\"passages\":[{"`, 1)))
		f.Add([]byte(strings.Replace(whole, namePassages, namePassages[:1]+" "+namePassages[1:], 1)))
		f.Add([]byte(strings.Replace(whole, "]}", "] }", 1)))
		f.Add([]byte("{" + namePassages + string(text) + "}"))
		f.Add([]byte("{ " + namePassages + string(text) + "}"))
		f.Add([]byte(whole + "}"))
		f.Add([]byte(whole + " "))
		f.Add([]byte(whole[:len(whole)-1] + `,"relevant":false}`))
	}
	for _, old := range []string{`0`, `"p1"`, `"t"`, `null`, `"x\ny"`} {
		one := `{"id":"p1","document_id":"d","version":"v","title":"t","source":null,"section":"s","page_start":null,"page_end":7,` +
			`"char_start":0,"char_end":0,"text":"x\ny","score":0,"scores":{"keyword":null,"dense":0}}`
		for _, value := range []string{
			`01`, `-0`, `+1`, `1.`, `.5`, `1.5`, `1e3`, `1E+3`, `1.e1`, `1e`, `-`, `1e999`, `9223372036854775808`, `0x10`, `0x1p4`, `0X1P+4`, `1_0`, `NaN`, `null`, `true`, ` 1`, `[]`,
			`"\ud800"`, `"\ud83d\ude00"`, `"\u00e9"`, `"\u00E9"`, `"\u12"`, `"\u"`, `"\`, `"\/"`, `"\x"`, `"\""`, `"\\"`, `"\\\\\""`, "\"\xff\"", "\"a\tb\"", "\"\u2028<>&\x7f\"", `""`,
		} {
			f.Add([]byte(askedHead + namePassages + "[" + strings.Replace(one, old, value, 1) + "]}"))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		got, err := decodeRetrieved(data)
		want, wantErr := decode[ChatRetrieved](data)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%s: got %v, want %v", data, err, wantErr)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Passages{})); err == nil && diff != "" {
			t.Fatalf("%s (-want +got):\n%s", data, diff)
		}
		if !bytes.Equal(before, data) {
			t.Fatalf("%s became %s", before, data)
		}
	})
}

// TestTheFastWayIsTaken for what is sent, and for nothing else.
func TestTheFastWayIsTaken(t *testing.T) {
	t.Parallel()
	for name, list := range awkward() {
		found, err := NewPassages(list)
		if err != nil {
			t.Fatal(err)
		}
		data, err := encode(ChatRetrieved{Passages: found, Signature: "s"})
		if err != nil {
			t.Fatal(err)
		}
		_, last, _ := bytes.Cut(data, []byte(namePassages))
		if _, rest, ok := readPassages(last); !ok || string(rest) != "}" {
			t.Errorf("%s is sent as %s", name, data)
		}
	}
	const one = `[{"id":"p","document_id":"d","version":"v","title":"t","source":null,"section":"s","page_start":null,"page_end":7,` +
		`"char_start":0,"char_end":12,"text":"x\ny","score":0.5,"scores":{"keyword":null,"dense":1e-9}}]`
	for _, rest := range []string{"", "}", " ", `,"x":1}`} {
		if _, left, ok := readPassages([]byte(one + rest)); !ok || string(left) != rest {
			t.Errorf("with %q behind it %v, %q is left", rest, ok, left)
		}
	}
	for _, change := range [][2]string{
		{`:12`, `:012`},
		{`:12`, `:1.5`},
		{`:12`, `:`},
		{`:12`, `:1e1`},
		{`:12`, `:99999999999999999999`},
		{`0.5`, `.5`},
		{`0.5`, `1.`},
		{`0.5`, `+1`},
		{`0.5`, `00.5`},
		{`0.5`, `1.e5`},
		{`0.5`, `1e999`},
		{`0.5`, `0x1p4`},
		{`0.5`, `1_0.5`},
		{`0.5`, `inf`},
		{`\n`, `\u12"`},
		{`\n`, `\x`},
		{`\n`, `\ud83d`},
		{`\n`, "\n"},
		{`\n`, "\xff"},
		{`"p"`, `null`},
		{`"p"`, `5`},
		{`"id"`, `"ID"`},
		{`"id":"p",`, ``},
		{`"id":"p",`, `"id":"p","id":"p",`},
		{`}}]`, `},"x":1}]`},
		{`}}]`, `}},]`},
		{`}}]`, `}}`},
		{`}}]`, `}} ]`},
		{`[{`, `{`},
		{`[{`, `[[{`},
		{`[{`, `[ {`},
	} {
		changed := strings.Replace(one, change[0], change[1], 1)
		if _, _, ok := readPassages([]byte(changed)); ok || changed == one {
			t.Errorf("%s was read", changed)
		}
	}
}
