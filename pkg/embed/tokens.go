package embed

// EstimateTokens estimates from above how many tokens a text has: one for
// three ASCII characters, one for each other. Tokenizers of today's models
// need about one for four letters of English, for two to three of other Latin
// and Cyrillic text, and at most one for most Chinese characters. It is an
// estimate and no bound: a row of punctuation has one for each.
func EstimateTokens(text string) int {
	ascii, others := 0, 0
	for i := range len(text) {
		switch b := text[i]; {
		case b < 0x80:
			ascii++
		case b&0xC0 != 0x80: // the first byte of a character
			others++
		}
	}
	return ascii/3 + others + 1
}

// Counter is implemented by embedders that make more than one request to
// their API for many texts, for whoever must count requests.
type Counter interface {
	// Requests returns how many requests a call of Embed with the texts makes,
	// as long as the API takes them.
	Requests(texts []string) int
}
