package remote

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/embed"
)

// placeholder stands for a text without a visible character: APIs refuse empty texts.
const placeholder = "-"

// clean returns a text as every API takes it.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if strings.ContainsRune(text, 0) {
		text = strings.ReplaceAll(text, "\x00", " ")
	}
	if strings.TrimFunc(text, invisible) == "" {
		return placeholder
	}
	return text
}

func invisible(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }

// cut returns the start of the text that is estimated to have at most the
// number of tokens.
func cut(text string, tokens int) string {
	// Every token has a byte at least, so short texts need no count.
	if len(text) <= tokens || embed.EstimateTokens(text) <= tokens {
		return text
	}
	// The estimate grows with the text: search the longest start that fits.
	low, high := 0, len(text)
	for low < high {
		middle := (low + high + 1) / 2
		if embed.EstimateTokens(text[:middle]) <= tokens {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return boundary(text, low)
}

// cutBytes returns the start of the text that has at most the number of
// tokens whatever the tokenizer: none makes more than one of a byte. The rest
// is for the marks that a model puts around a text.
func cutBytes(text string, tokens int) string {
	return boundary(text, max(tokens-marks, 1))
}

// marks is how many tokens around a text belong to the model.
const marks = 8

func boundary(text string, at int) string {
	if at >= len(text) {
		return text
	}
	// No valid character is longer than four bytes, and invalid ones may be cut anywhere.
	for back := 0; back < utf8.UTFMax && at > 0 && !utf8.RuneStart(text[at]); back++ {
		at--
	}
	return text[:at]
}
