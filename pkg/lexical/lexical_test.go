package lexical_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/lexical"
)

// overlap returns how many distinct terms of the question the passage has.
func overlap(a *lexical.Analyzer, passage, question string) int {
	terms := a.Analyze(passage).Terms
	n := 0
	for _, q := range a.Query(question, lexical.AllLanguages) {
		if _, ok := slices.BinarySearchFunc(terms, q, lexical.Compare); ok {
			n++
		}
	}
	return n
}

func TestQuestionsFindInflectedWords(t *testing.T) {
	t.Parallel()
	a := lexical.New()
	for name, c := range map[string]struct {
		passage, question string
		want              int
	}{
		"english stems":               {"The batteries were charging in the garage while it rained.", "charged battery", 2},
		"english without apostrophes": {"Warsaw's exchange is the oldest of these.", "Warsaw exchanges", 2},
		"german umlauts and plurals":  {"Die Häuser und die Gärten sind für alle Bürger offen.", "Haus Garten Bürgern", 3},
		"german sharp s":              {"Er ging nicht über die Straße, weil es regnete und die Autos fuhren.", "Strasse", 1},
		"spanish without accents":     {"La canción de los niños fue escrita por el maestro de la escuela.", "canciones escuelas", 2},
		"french elision":              {"L'homme et la femme sont dans une maison avec des enfants.", "hommes maisons enfant", 3},
		"russian cases":               {"Столица России находится на берегу реки.", "реке столицы", 2},
		"russian yo":                  {"Ёлка стоит в углу", "елка", 1},
		"greek accents and endings":   {"Οι άνθρωποι της πόλης είδαν τον ποταμό", "άνθρωπος ΠΟΤΑΜΟΣ", 2},
		"arabic articles":             {"وقد احتل الفريق المركز السادس في المدرسة", "مدرسه فريق", 2},
		"vietnamese syllables":        {"Thành phố Hồ Chí Minh là một thành phố của Việt Nam", "thành phố nào", 2},
		"chinese pairs":               {"北京是中华人民共和国的首都。", "首都北京", 2},
		"japanese pairs":              {"東京タワーは東京都港区にある。", "東京タワー", 4},
		"a chinese character":         {"我家的猫在睡觉。", "猫", 1},
		"a korean syllable":           {"물을 마신다", "물", 1},
		"thai pairs":                  {"กรุงเทพมหานครเป็นเมืองหลวง", "กรุงเทพ", 5},
		"korean particles":            {"서울은 대한민국의 수도이다", "대한민국", 3},
		"full width and ligatures":    {"The ﬁrst Ｐａｎｔｈｅｒｓ score", "first panthers", 2},
		"numbers in any language":     {"Die Firma wurde im Jahr 1873 in der Stadt gegründet und ist es.", "1873", 1},
		"soft hyphens":                {"trans\u00adistor", "transistors", 1},
		"stop words find nothing":     {"to be or not to be, that is the question", "what is it to be", 0},
		"german stop words":           {"Der Hund und die Katze sind in dem Haus.", "der die und", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := overlap(a, c.passage, c.question); got != c.want {
				t.Errorf("%d common terms, want %d", got, c.want)
			}
		})
	}
}

func TestLanguageOfPassages(t *testing.T) {
	t.Parallel()
	a := lexical.New()
	for want, text := range map[string]string{
		"en": "Los Angeles, Los Alamos and Los Gatos are cities in the south of the state.",
		"de": "Der Rat hat beschlossen, dass die Brücke nicht vor dem Winter fertig wird.",
		"es": "El consejo ha decidido que el puente no estará listo antes del invierno.",
		"fr": "Le conseil a décidé que le pont ne sera pas prêt avant les fêtes.",
		"vi": "Hội đồng đã quyết định rằng cây cầu sẽ không hoàn thành trước mùa đông.",
		"sv": "Rådet har beslutat att bron inte ska vara klar före vintern, men det är bra.",
		"nl": "De raad heeft besloten dat de brug niet voor de winter klaar zal zijn.",
	} {
		if got := a.Language(text); got != a.Analyze(text).Language {
			t.Errorf("%q is %s, but analysed as %s", text, got, a.Analyze(text).Language)
		}
		if got := a.Analyze(text).Language.String(); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if got := a.Analyze("router 12 switch 9").Language; got != lexical.English {
		t.Errorf("without evidence: %s, want English", got)
	}
}

func TestForeignCollections(t *testing.T) {
	t.Parallel()
	a := lexical.New()
	english := a.Analyze("The Panthers defense gave up just 308 points, ranking sixth in the league.")
	german := a.Analyze("Die Verteidigung der Panthers gab nur 308 Punkte ab und belegte den sechsten Platz.")
	if lexical.Foreign(english.Words, english.EnglishWords) {
		t.Errorf("English text is foreign: %+v", english)
	}
	if !lexical.Foreign(german.Words, german.EnglishWords) {
		t.Errorf("German text is not foreign: %+v", german)
	}
	if lexical.Foreign(0, 0) {
		t.Error("an empty collection is foreign")
	}
}

// The ids are part of what stores keep, so they may not change without a new Version.
func TestTermsAreStable(t *testing.T) {
	t.Parallel()
	got := lexical.New().Analyze("Running dogs run; Ελλάδα 北京市 42")
	if got.Length != 7 || got.Words != 7 {
		t.Errorf("length %d of %d words, want 7 of 7", got.Length, got.Words)
	}
	ids := make([]uint32, 0, len(got.Terms))
	for _, term := range got.Terms {
		ids = append(ids, term.ID)
	}
	if diff := cmp.Diff(stableIDs(), ids); diff != "" {
		t.Error(diff)
	}
}

func TestHostileTextTakesLinearTime(t *testing.T) {
	t.Parallel()
	a := lexical.New()
	for name, text := range map[string]string{
		"one word":        strings.Repeat("a", 1<<20),
		"one ideogram":    strings.Repeat("中", 1<<18),
		"combining marks": "a" + strings.Repeat("\u0301", 1<<18),
		"invalid bytes":   strings.Repeat("\xff\xfez", 1<<18),
		"script changes":  strings.Repeat("aя中", 1<<17),
	} {
		start := time.Now()
		got := a.Analyze(text)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(text))
		}
		if got.Length == 0 {
			t.Errorf("%s: no terms", name)
		}
	}
}

func TestIDFAndImpact(t *testing.T) {
	t.Parallel()
	if got := lexical.IDF(10, 3); math.Abs(got-math.Log(7.5/3.5+1)) > 1e-12 {
		t.Errorf("IDF(10, 3) = %v", got)
	}
	for holding := range 101 {
		if lexical.IDF(100, holding) <= 0 {
			t.Errorf("IDF(100, %d) is not positive", holding)
		}
	}
	if got := lexical.Impact(1, lexical.AverageLength); math.Abs(float64(got)-1) > 1e-6 {
		t.Errorf("one occurrence in an average passage weighs %v, want 1", got)
	}
	if lexical.Impact(2, 50) <= lexical.Impact(1, 50) || lexical.Impact(1, 500) >= lexical.Impact(1, 50) {
		t.Error("impact does not grow with the count or shrink with the length")
	}
}

func FuzzAnalyze(f *testing.F) {
	for _, s := range []string{"", "The quick brown fox's", "ﬁ Ａ 中文 ไทย 한국어 العربية ὀδυσσεύς Straße", "\xff\xc0a\u0301\u00ad", "١٢٣ 3D b12"} {
		f.Add(s)
	}
	a := lexical.New()
	f.Fuzz(func(t *testing.T, text string) {
		got := a.Analyze(text)
		sum := 0
		for i, term := range got.Terms {
			sum += int(term.Count)
			if term.Count == 0 || i > 0 && got.Terms[i-1].ID >= term.ID {
				t.Fatalf("terms are not in order: %v", got.Terms)
			}
		}
		if sum < got.Length || got.EnglishWords > got.Words {
			t.Fatalf("sum %d, %+v", sum, got)
		}
		if diff := cmp.Diff(got, a.Analyze(text)); diff != "" {
			t.Fatal(diff)
		}
		if utf8.ValidString(text) && len(a.Query(text, lexical.AllLanguages)) == 0 && got.Length > 0 && got.Language == lexical.English {
			if len(a.Query(text, 0)) != 0 {
				t.Fatal("a query without languages has more terms than with all")
			}
		}
	})
}

func BenchmarkAnalyze(b *testing.B) {
	a := lexical.New()
	text := strings.Repeat("The Panthers defense gave up just 308 points, ranking sixth in the league, while also leading the NFL in interceptions with 24. ", 8)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		a.Analyze(text)
	}
}

// BenchmarkQuery is a question in every language: one that is asked again,
// and ones of 20,000 words, rare and frequent as in a language.
func BenchmarkQuery(b *testing.B) {
	b.Run("known", func(b *testing.B) {
		a := lexical.New()
		for b.Loop() {
			a.Query("what was the final score of the game between the broncos and the steelers in 2015", lexical.AllLanguages)
		}
	})
	b.Run("many", func(b *testing.B) {
		a, rng := lexical.New(), rand.New(rand.NewPCG(1, 2))
		zipf := rand.NewZipf(rng, 1.1, 3, 20_000)
		questions := make([]string, 20_000)
		for i := range questions {
			for range 12 {
				questions[i] += fmt.Sprint("word", zipf.Uint64(), "s ")
			}
		}
		for i := 0; b.Loop(); i++ {
			a.Query(questions[i%len(questions)], lexical.AllLanguages)
		}
	})
}

func stableIDs() []uint32 {
	return []uint32{105172105, 639060790, 1288067435, 1585124184, 3178434442, 3472517955, 3562784225, 3613879933, 3746130883}
}
