package extractive

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/lexical"

	"github.com/ragbus/ragbus/services/generator/internal/evidence"
)

// asks is what kind of thing a question wants.
type asks uint8

// The kinds that can be seen in a sentence.
const (
	anything asks = iota
	aNumber
	aDate
	aName
	aReason
)

// askedFor reads the kind from the question's words.
func askedFor(question string) asks {
	q := " " + strings.ToLower(strings.NewReplacer("?", " ", "¿", " ", "؟", " ", ",", " ", "？", " ").Replace(question)) + " "
	for _, k := range []struct {
		kind  asks
		words string
	}{
		{aDate, " when | what year | which year | what date | what day | what month | how old | wann | welchem jahr | welches jahr | cuándo | qué año | quand | quelle année | quando | che anno | que ano |" +
			" когда | каком году | какой год | πότε | ποια χρονιά | ποιο έτος |何时|什么时候|哪年|哪一年|哪个年份|什么时间| متى | أي عام | أي سنة | מתי | באיזו שנה | באיזה תאריך |いつ|何年|何日|언제|몇 년|เมื่อไร|เมื่อใด|ปีใด|ปีไหน| khi nào | năm nào | wanneer "},
		{aNumber, " how many | how much | what percent| what number | what is the number | how long | how far | how tall | how high | how large | how big | what population | wie viel | wie viele | wieviel | wieviele | wie hoch | wie lang | wie lange | wie groß | wie weit | prozent |" +
			" cuánto | cuánta | cuántos | cuántas | porcentaje | combien | quanti | quante | quanto | quantos | quantas | hoeveel | сколько | какой процент | πόσο | πόσοι | πόσες | πόσα | πόσος | πόση |多少|几个|几次|几分|百分比|多大|多长| كم | כמה |何人|いくつ|いくら|どのくらい|얼마|몇|กี่|เท่าไร|เท่าใด| bao nhiêu | mấy "},
		{aName, " who | whom | whose | where | what city | what country | which country | what is the name | what was the name | wer | wen | wem | wessen | wo | wohin | woher | quién | quiénes | dónde | qui | où | chi | dove | quem | onde | wie is | waar |" +
			" кто | кого | кому | кем | где | куда | ποιος | ποια | ποιοι | ποιον | πού |谁|哪里|哪儿|在哪|何处| أين | من هو | من هي | من الذي | מי | את מי | איפה | היכן | לאן |誰|どこ|누구|누가|어디|ใคร|ที่ไหน| ai | ở đâu "},
		{aReason, " why | warum | weshalb | wieso | por qué | pourquoi | perché | почему | зачем | γιατί |为什么|为何| لماذا | למה | מדוע |なぜ|どうして|왜|ทำไม|เหตุใด| tại sao | vì sao | waarom "},
	} {
		for w := range strings.SplitSeq(k.words, "|") {
			if strings.Contains(q, w) {
				return k.kind
			}
		}
	}
	return anything
}

// met tells from 0 to 1 whether a sentence has what is asked for and the question has not.
func (a asks) met(sentence, question string, l lexical.Language) float64 {
	switch a {
	case anything:
		return 0
	case aNumber, aDate:
		best := 0.0
		asked := evidence.Numbers(question, true)
		for _, n := range evidence.Numbers(sentence, true) {
			if slices.Contains(asked, n) {
				continue
			}
			if a == aNumber || year(n) {
				return 1
			}
			best = 0.5
		}
		return best
	case aName:
		return name(sentence, question, l == lexical.German)
	case aReason:
		return reason(sentence)
	}
	return 0
}

func year(n string) bool {
	return len(n) == 4 && (n[0] == '1' || n[0] == '2') && strings.Trim(n, "0123456789") == ""
}

// name looks for a capitalised word inside the sentence that the question does
// not have. Where nouns are written with capitals too, one may be any noun, and
// two together are a name. Scripts without capitals tell nothing.
func name(sentence, question string, nouns bool) float64 {
	first, before := true, false
	asked := strings.ToLower(question)
	for w := range strings.FieldsSeq(sentence) {
		w = strings.TrimFunc(w, func(r rune) bool { return !unicode.IsLetter(r) })
		r, _ := utf8.DecodeRuneInString(w)
		capital := !first && unicode.IsUpper(r) && len(w) > 2 && !strings.Contains(asked, strings.ToLower(w))
		if capital && (before || !nouns) {
			return 1
		}
		before, first = capital, false
	}
	return 0
}

func reason(sentence string) float64 {
	s := " " + strings.ToLower(sentence)
	for _, w := range []string{
		" because", " since ", " due to", " so that", " in order to", " therefore", " as a result", " weil ", " denn ", " wegen ", " damit ", " um zu", " aufgrund", " porque ", " debido a", " para ", " ya que",
		" parce que", " car ", " afin ", " perché ", " потому", " так как", " чтобы", " из-за", "επειδή", "λόγω", "γιατί", "因为", "由于", "以便", "所以", " لأن", " بسبب", " vì ", " do ", " bởi",
	} {
		if strings.Contains(s, w) {
			return 1
		}
	}
	return 0
}
