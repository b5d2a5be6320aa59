// Package phrase has the sentences with which the generator says that there
// is no answer, in the language of the question, and recognises a model that
// says so in its own words.
package phrase

import (
	"strings"
	"unicode"
)

// Set are the sentences of one language.
type Set struct {
	// NoAnswer: the documents do not answer.
	NoAnswer string
	// Unsupported: an answer was written, but no source bears it out.
	Unsupported string
	// Blocked: the model refused.
	Blocked string
}

// For returns the sentences in the language of a question; English when that is not easy to tell.
func For(question string) Set {
	switch Language(question) {
	case "de":
		return Set{"Die Dokumente beantworten diese Frage nicht.", "Ich habe in den Dokumenten keine Stelle gefunden, die eine Antwort auf diese Frage belegt.", "Das Sprachmodell hat die Antwort auf diese Frage abgelehnt."}
	case "es":
		return Set{"Los documentos no responden a esta pregunta.", "No he encontrado en los documentos ningún pasaje que respalde una respuesta a esta pregunta.", "El modelo de lenguaje se ha negado a responder a esta pregunta."}
	case "fr":
		return Set{"Les documents ne répondent pas à cette question.", "Je n'ai trouvé dans les documents aucun passage qui étaye une réponse à cette question.", "Le modèle de langage a refusé de répondre à cette question."}
	case "it":
		return Set{"I documenti non rispondono a questa domanda.", "Non ho trovato nei documenti alcun passaggio che sostenga una risposta a questa domanda.", "Il modello linguistico ha rifiutato di rispondere a questa domanda."}
	case "pt":
		return Set{"Os documentos não respondem a esta pergunta.", "Não encontrei nos documentos nenhuma passagem que sustente uma resposta a esta pergunta.", "O modelo de linguagem recusou-se a responder a esta pergunta."}
	case "nl":
		return Set{"De documenten beantwoorden deze vraag niet.", "Ik heb in de documenten geen passage gevonden die een antwoord op deze vraag ondersteunt.", "Het taalmodel heeft geweigerd deze vraag te beantwoorden."}
	case "ru":
		return Set{"Документы не отвечают на этот вопрос.", "В документах не нашлось места, которое подтверждало бы ответ на этот вопрос.", "Языковая модель отказалась отвечать на этот вопрос."}
	case "el":
		return Set{"Τα έγγραφα δεν απαντούν σε αυτή την ερώτηση.", "Δεν βρήκα στα έγγραφα απόσπασμα που να στηρίζει μια απάντηση σε αυτή την ερώτηση.", "Το γλωσσικό μοντέλο αρνήθηκε να απαντήσει σε αυτή την ερώτηση."}
	case "ar":
		return Set{"لا تجيب المستندات عن هذا السؤال.", "لم أجد في المستندات مقطعًا يدعم إجابة عن هذا السؤال.", "رفض النموذج اللغوي الإجابة عن هذا السؤال."}
	case "zh":
		return Set{"文档中没有这个问题的答案。", "在文档中没有找到能够支持这个问题的答案的段落。", "语言模型拒绝回答这个问题。"}
	case "ja":
		return Set{"文書にはこの質問への答えがありません。", "文書の中に、この質問への答えを裏付ける箇所は見つかりませんでした。", "言語モデルはこの質問への回答を拒否しました。"}
	case "vi":
		return Set{"Các tài liệu không trả lời câu hỏi này.", "Tôi không tìm thấy đoạn nào trong các tài liệu chứng minh cho câu trả lời của câu hỏi này.", "Mô hình ngôn ngữ đã từ chối trả lời câu hỏi này."}
	}
	return Set{"The documents do not answer this question.", "I found no passage in the documents that bears out an answer to this question.", "The language model declined to answer this question."}
}

// Language guesses a question's language (ISO 639-1) by its script, and for
// Latin script by its smallest words; "en" when nothing speaks for another.
func Language(question string) string {
	for _, r := range question {
		switch {
		case unicode.Is(unicode.Hiragana, r), unicode.Is(unicode.Katakana, r):
			return "ja"
		case unicode.Is(unicode.Cyrillic, r):
			return "ru"
		case unicode.Is(unicode.Greek, r):
			return "el"
		case unicode.Is(unicode.Arabic, r):
			return "ar"
		case r >= 0x1ea0 && r <= 0x1ef9:
			return "vi"
		}
	}
	if strings.ContainsFunc(question, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		return "zh"
	}
	best, most := "en", 0
	lower := strings.ToLower(question)
	// In this order, so that equals come out the same every time.
	for _, l := range [...]struct{ code, words string }{
		{"en", " the what who when where how is are was were did does do in of to which why a an "},
		{"de", " der die das wer was wann wo wie warum ist sind war waren wurde hat in welche welcher welches und von den dem ein eine im nicht "},
		{"es", " el la los las qué quién cuándo dónde cómo cuál cuántos es son fue en de del por un una y se que "},
		{"fr", " le la les qui quand où comment quel quelle combien est sont était en de du des un une et que dans "},
		{"it", " il lo la gli chi cosa quando dove come quale quanti è sono era di del della un una e che nel per "},
		{"pt", " o a os as quem quando onde como qual quantos é são foi em de do da um uma e que no na por "},
		{"nl", " de het een wie wat wanneer waar hoe welke is zijn was werd in van en niet op "},
	} {
		n := 0
		for w := range strings.FieldsFuncSeq(lower, func(r rune) bool { return !unicode.IsLetter(r) }) {
			if strings.Contains(l.words, " "+w+" ") {
				n++
			}
		}
		if n > most {
			best, most = l.code, n
		}
	}
	return best
}

// Refuses reports whether a text without citations says that the sources do
// not tell. It looks for the usual wordings; [0] in the prompt is the sure sign.
func Refuses(text string) bool {
	s := strings.ToLower(strings.ReplaceAll(text, "’", "'"))
	if len(s) > longestRefusal {
		return false
	}
	for _, w := range []string{
		"do not answer", "does not answer", "don't answer", "doesn't answer", "do not contain", "does not contain", "don't contain", "doesn't contain", "do not provide", "does not provide", "don't provide",
		"do not mention", "does not mention", "don't mention", "do not say", "does not say", "do not specify", "does not specify", "no information", "not enough information", "cannot answer", "can't answer",
		"unable to answer", "not mentioned", "not provided in", "do not have information", "don't have information", "do not include", "does not include",
		"beantworten diese frage nicht", "keine information", "keine angaben", "nicht beantworten", "geht aus den quellen nicht", "nicht erwähnt", "enthalten keine",
		"no responden", "no contienen", "no contiene", "no hay información", "no mencionan", "no proporcionan", "no puedo responder",
		"ne répondent pas", "ne contiennent pas", "ne contient pas", "aucune information", "ne mentionnent pas", "ne peux pas répondre", "ne permettent pas",
		"non rispondono", "non contengono", "nessuna informazione", "não respondem", "não contêm", "nenhuma informação", "beantwoorden deze vraag niet", "geen informatie",
		"не содержат", "не отвечают", "нет информации", "не указано", "не упоминается", "не могу ответить", "δεν απαντούν", "δεν περιέχουν", "δεν υπάρχουν πληροφορίες",
		"لا تجيب", "لا تحتوي", "لا توجد معلومات", "لا تذكر", "没有回答", "没有提到", "没有提及", "未提及", "没有相关", "无法回答", "没有这个问题", "答えがありません", "記載がありません", "情報がありません", "không trả lời", "không có thông tin", "không đề cập",
	} {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// longestRefusal is how long, in bytes, a text is at most that only refuses.
const longestRefusal = 600
