package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestRetryAfterIsReadInEveryForm(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "7", 7 * time.Second},
		{"Retry-After", "0.5", 500 * time.Millisecond},
		{"Retry-After", "Mon, 23 Nov 2026 01:00:09 GMT", 9 * time.Second},
		{"Retry-After", "Mon, 23 Nov 2020 01:00:09 GMT", 0},
		{"Retry-After-Ms", "250", 250 * time.Millisecond},
		{"Retry-After", "99999999999999999999", maxPause},
		{"Retry-After", "1e300", maxPause},
		{"Retry-After", "-3", 0},
		{"Retry-After", "NaN", 0},
		{"Retry-After", "soon", 0},
		{"Retry-After", "Sun, 23 Nov 2036 01:00:09 GMT", maxPause},
		{"Other", "7", 0},
	} {
		h := http.Header{}
		h.Set(c.name, c.value)
		if got := retryAfter(h, now); got != c.want {
			t.Errorf("%s: %s is read as %s, want %s", c.name, c.value, got, c.want)
		}
	}
}

func TestStatusGivesTheClass(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		problem Problem
		class   fault.Class
		code    string
	}{
		{Problem{Status: 429}, fault.Throttled, "throttled"},
		{Problem{Status: 503, Pause: time.Second}, fault.Throttled, "throttled"},
		{Problem{Status: 503}, fault.Transient, "embedder_unavailable"},
		{Problem{Status: 529}, fault.Transient, "embedder_unavailable"},
		{Problem{Status: 408}, fault.Transient, "embedder_unavailable"},
		{Problem{Status: 302}, fault.Transient, "embedder_unavailable"},
		{Problem{Status: 0}, fault.Transient, "embedder_unavailable"},
		{Problem{Status: 401}, fault.Permanent, "embedder_unauthorized"},
		{Problem{Status: 403}, fault.Permanent, "embedder_unauthorized"},
		{Problem{Status: 400, WrongKey: true}, fault.Permanent, "embedder_unauthorized"},
		{Problem{Status: 402}, fault.Permanent, "embedder_no_credit"},
		{Problem{Status: 429, NoCredit: true}, fault.Permanent, "embedder_no_credit"},
		{Problem{Status: 404}, fault.Permanent, "embedder_not_found"},
		{Problem{Status: 413}, fault.Permanent, "text_too_long"},
		{Problem{Status: 500, TooLong: true}, fault.Permanent, "text_too_long"},
		{Problem{Status: 400}, fault.Permanent, "embedder_refused"},
		{Problem{Status: 422}, fault.Permanent, "embedder_refused"},
	} {
		err := c.problem.Fault()
		if code, _ := fault.Public(err); fault.Of(err) != c.class || code != c.code {
			t.Errorf("%+v: class %s, code %s, want %s, %s", c.problem, fault.Of(err), code, c.class, c.code)
		}
	}
}

func TestCausesAreShortAndHoldNoSecret(t *testing.T) {
	t.Parallel()
	err := Problem{Provider: "p", Status: 400, Name: "n", Message: "key sk-1 " + strings.Repeat("é", 5000), Secret: "sk-1"}.Fault()
	if text := err.Error(); strings.Contains(text, "sk-1") || len(text) > 400 || !utf8.ValidString(text) {
		t.Errorf("the cause is %q", text)
	}
}

func TestVectorsAreRead(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]float32{
		`[1,-2.5,3e-2]`:      {1, -2.5, 0.03},
		`"AACAPwAAIMCPwvU8"`: {1, -2.5, 0.03},
		`[]`:                 {},
		`""`:                 {},
	} {
		var got Values
		if err := json.Unmarshal([]byte(in), &got); err != nil || len(got) != len(want) {
			t.Errorf("%s: %v, %v", in, got, err)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", in, got, want)
			}
		}
	}
	for _, in := range []string{`[1,null]`, `null`, `"AACAPwA="`, `"?"`, `{}`, `[1e99]`, `[NaN]`, `[1,]`, `[,1]`, `[1 2]`, `[[1]]`, `[0x1p2]`, `[`, ``} {
		var got Values
		if err := got.UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("%s is read as %v", in, got)
		}
	}
}

func FuzzValues(f *testing.F) {
	for _, s := range []string{`[1,2]`, `"AACAPw=="`, `"`, `[`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want []float32
		plain := json.Unmarshal(data, &want) == nil && !bytes.Contains(data, []byte("null"))
		var v Values
		err := v.UnmarshalJSON(data)
		if len(v) > len(data) {
			t.Errorf("%d elements of %d bytes", len(v), len(data))
		}
		if plain && (err != nil || !slices.Equal(v, want)) {
			t.Errorf("%q is read as %v, %v, want %v", data, v, err, want)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add("the quick brown fox", 3)
	f.Add("日本語のテキスト", 4)
	f.Add("\xff\xfe\x80\x80 half \xe2\x82", 2)
	f.Fuzz(func(t *testing.T, text string, tokens int) {
		tokens = 1 + abs(tokens)%10_000
		got := cut(text, tokens)
		if !strings.HasPrefix(text, got) {
			t.Fatalf("%q is no start of %q", got, text)
		}
		if len(text) > tokens && embed.EstimateTokens(got) > tokens {
			t.Errorf("%d tokens, want %d at most", embed.EstimateTokens(got), tokens)
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Errorf("%q was cut within a character", text)
		}
		if out := clean(got); out == "" || !utf8.ValidString(out) || strings.ContainsRune(out, 0) {
			t.Errorf("%q is cleaned to %q", got, out)
		}
	})
}

func abs(n int) int {
	if n == math.MinInt {
		return 0
	}
	if n < 0 {
		return -n
	}
	return n
}

func TestBatchesKeepBothLimits(t *testing.T) {
	t.Parallel()
	b := New(Limits{Dimensions: 1, BatchTexts: 4, BatchTokens: 20, TextTokens: 100, Concurrency: 1, Timeout: time.Second}, nil)
	texts := []string{"a", "b", "c", "d", "e", strings.Repeat("x", 57), "f", strings.Repeat("y", 290), "g"}
	var joined []string
	for _, batch := range b.split(texts) {
		tokens := 0
		for _, text := range batch {
			tokens += embed.EstimateTokens(text)
		}
		if len(batch) == 0 || len(batch) > 4 || tokens > 20 && len(batch) > 1 {
			t.Errorf("a batch has %d texts of %d tokens", len(batch), tokens)
		}
		joined = append(joined, batch...)
	}
	if strings.Join(joined, "|") != strings.Join(texts, "|") {
		t.Errorf("texts became %q", joined)
	}
	if got, want := b.Requests(texts), len(b.split(texts)); got != want {
		t.Errorf("%d requests are counted, %d are made", got, want)
	}
}

func TestWhatIsNoAnswerQuotesNothing(t *testing.T) {
	t.Parallel()
	err := Unreachable("p", errors.New("invalid character 'S' in \"Secret document\""))
	if strings.Contains(err.Error(), "Secret") || !fault.Is(err, fault.Transient) {
		t.Errorf("got %v", err)
	}
}
