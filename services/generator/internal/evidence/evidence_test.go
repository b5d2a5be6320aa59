package evidence_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

func judge() *evidence.Judge {
	return evidence.NewJudge(lexical.New(), evidence.DefaultThresholds())
}

const archive = "The town archive was founded in 1887 by Anna Weber. It holds 1,250 maps and three globes. " +
	"Photography is not allowed in the reading room. A copy costs 30 cents. The cellar is not a museum but a store for old newspapers."

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		passage, claim string
		want           bool
		quote          string
	}{
		"verbatim":               {archive, "The town archive was founded in 1887 by Anna Weber.", true, "The town archive was founded in 1887 by Anna Weber."},
		"a fact on its line":     {"The mill\n\nWeight of the stone 900 kg\n\nBuilt by Ida Moe", "The stone's weight is 900 kg.", true, "Weight of the stone 900 kg"},
		"other forms":            {archive, "Anna Weber founded the archives of the town.", true, "The town archive was founded in 1887 by Anna Weber."},
		"another year":           {archive, "The town archive was founded in 1897 by Anna Weber.", false, ""},
		"thousands":              {archive, "It holds 1250 maps.", true, "It holds 1,250 maps and three globes."},
		"a number word":          {archive, "The archive holds 3 globes.", true, "It holds 1,250 maps and three globes."},
		"a number made up":       {archive, "The archive holds 4 globes.", false, ""},
		"negation dropped":       {archive, "Photography is allowed in the reading room.", false, ""},
		"negation kept":          {archive, "You are not allowed photography in the reading room.", true, "Photography is not allowed in the reading room."},
		"negation added":         {"A copy costs 30 cents in the hall.", "A copy does not cost 30 cents in the hall.", false, ""},
		"not this but that":      {archive, "The cellar is a store for old newspapers.", true, "The cellar is not a museum but a store for old newspapers."},
		"something else":         {archive, "The mayor opened a swimming pool in the north.", false, ""},
		"over two sentences":     {archive, "The archive founded by Anna Weber holds maps and globes.", true, "The town archive was founded in 1887 by Anna Weber. It holds 1,250 maps and three globes."},
		"nothing said":           {archive, "...", false, ""},
		"empty passage":          {"", "The archive is open.", false, ""},
		"german":                 {"Das Archiv wurde 1887 gegründet. Es öffnet um neun Uhr.", "1887 wurde das Archiv gegründet.", true, "Das Archiv wurde 1887 gegründet."},
		"german negation":        {"Fotografieren ist im Lesesaal nicht erlaubt.", "Fotografieren ist im Lesesaal erlaubt.", false, ""},
		"russian":                {"Архив был основан в 1887 году. Он открыт по будням.", "В 1887 году был основан архив.", true, "Архив был основан в 1887 году."},
		"chinese":                {"档案馆成立于1887年。它收藏了许多地图。", "档案馆在1887年成立。", true, "档案馆成立于1887年。"},
		"chinese, another year":  {"档案馆成立于1887年。它收藏了许多地图。", "档案馆在1987年成立。", false, ""},
		"arabic digits":          {"تأسس الأرشيف عام ١٨٨٧ في المدينة.", "تأسس الأرشيف في المدينة عام 1887.", true, "تأسس الأرشيف عام ١٨٨٧ في المدينة."},
		"the question repeated":  {archive, "The town archive opens on Sundays at noon.", false, ""},
		"decimal comma":          {"Der Turm ist 3,5 Meter hoch.", "Der Turm ist 3.5 Meter hoch.", true, "Der Turm ist 3,5 Meter hoch."},
		"decimal is no thousand": {"Der Turm ist 3,5 Meter hoch.", "Der Turm ist 35 Meter hoch.", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := judge().Read(tt.passage)
			c := evidence.NewClaim(tt.claim, evidence.NewQuestion("When does the town archive open?"))
			v := p.Check(c)
			if v.Supported != tt.want {
				t.Fatalf("supported %v, want %v: %+v", v.Supported, tt.want, v)
			}
			if start, end := p.Quote(c, v); tt.want && tt.passage[start:end] != tt.quote {
				t.Errorf("quote %q, want %q", tt.passage[start:end], tt.quote)
			}
		})
	}
}

func TestTogether(t *testing.T) {
	t.Parallel()
	j := judge()
	a, b := j.Read("The archive was founded in 1887."), j.Read("The museum opened its doors in 1920.")
	c := evidence.NewClaim("The archive was founded in 1887 and the museum opened its doors in 1920.", nil)
	if a.Check(c).Supported || b.Check(c).Supported {
		t.Error("one passage alone supports what two say")
	}
	if !evidence.Together(c, []*evidence.Passage{a, b}) {
		t.Error("both together do not support it")
	}
	if other := j.Read("Fish live in water."); evidence.Together(c, []*evidence.Passage{a, b, other}) {
		t.Error("a passage that adds nothing counts")
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                      nil,
		"no number":             nil,
		"1,234.50 and 1.234,5":  {"1234.5", "1234.5"},
		"0.125 is not 125":      {"0.125", "125"},
		"1,000,000":             {"1000000"},
		"1 000":                 {"1", "0"},
		"in 1990s, 19th, 3.14.": {"1990", "19", "3.14"},
		"B2B and H2O":           nil,
		"１２３ ٤٥٦ १२":            {"123", "456", "12"},
		"007":                   {"7"},
		"1.2.3":                 {"123"},
		"50%":                   {"50"},
		"第5章":                   {"5"},
	} {
		if diff := cmp.Diff(want, evidence.Numbers(text, false)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	if got := evidence.Numbers("two of the Twelve, zwei", true); strings.Join(got, " ") != "2 12 2" {
		t.Errorf("number words: %v", got)
	}
}

func FuzzCheckAndQuote(f *testing.F) {
	f.Add(archive, "The archive holds 3 globes.")
	f.Add("档案馆成立于1887年。不是。", "不是")
	f.Add("not not. no", "not")
	f.Add("# H\n- a\n| b | c |", "c")
	f.Fuzz(func(t *testing.T, passage, claim string) {
		p := judge().Read(passage)
		c := evidence.NewClaim(claim, nil)
		v := p.Check(c)
		start, end := p.Quote(c, v)
		if start < 0 || end < start || end > len(passage) {
			t.Fatalf("quote [%d:%d] of %d bytes", start, end, len(passage))
		}
		if utf8.ValidString(passage) && !utf8.ValidString(passage[start:end]) {
			t.Fatal("the quote splits a rune")
		}
		if v.Supported && start == end {
			t.Fatal("supported by nothing")
		}
	})
}
