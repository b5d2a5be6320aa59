package phrase_test

import (
	"testing"

	"github.com/ragbus/ragbus/services/generator/internal/phrase"
)

func TestLanguage(t *testing.T) {
	t.Parallel()
	for q, want := range map[string]string{
		"": "en", "xyz": "en", "Who was the first president?": "en", "Wer war der erste Präsident?": "de", "¿Quién fue el primer presidente?": "es",
		"Qui était le premier président ?": "fr", "Chi era il primo presidente?": "it", "Quem foi o primeiro presidente?": "pt", "Wie was de eerste president van het land?": "nl",
		"Кто был первым президентом?": "ru", "Ποιος ήταν ο πρώτος;": "el", "من كان أول رئيس؟": "ar", "谁是第一任总统？": "zh", "最初の大統領は誰ですか": "ja", "Ai là tổng thống đầu tiên?": "vi",
	} {
		if got := phrase.Language(q); got != want {
			t.Errorf("Language(%q) = %q, want %q", q, got, want)
		}
	}
}

func TestEveryLanguageHasEverySentenceAndKnowsItsOwnRefusal(t *testing.T) {
	t.Parallel()
	for _, q := range []string{"what is it", "was ist das", "qué es el caso", "quel est le but", "chi è il capo", "quem é o chefe", "wat is het een", "что это", "τι είναι", "ما هذا", "什么", "これは何", "Ai là tổng"} {
		s := phrase.For(q)
		if s.NoAnswer == "" || s.Unsupported == "" || s.Blocked == "" {
			t.Errorf("%s: %+v", q, s)
		}
		if !phrase.Refuses(s.NoAnswer) {
			t.Errorf("%q is not recognised", s.NoAnswer)
		}
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"The provided sources don’t contain information about that.": true,
		"I cannot answer this from the sources.":                     true,
		"The archive opens at nine.":                                 false,
		"":                                                           false,
	} {
		if got := phrase.Refuses(text); got != want {
			t.Errorf("Refuses(%q) = %v", text, got)
		}
	}
}
