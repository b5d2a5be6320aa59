package question

// Courtesy reports whether a turn only thanks, greets or agrees: there is
// nothing to look for in it, and no later question leans on it.
func Courtesy(question string) bool {
	said := false
	for _, w := range split(question) {
		switch {
		case polite(w):
			said = true
		case !padding(w):
			return false
		}
	}
	return said
}

func polite(w string) bool {
	switch w {
	case "thanks", "thank", "thx", "cheers", "hello", "hi", "hey", "bye", "goodbye", "ok", "okay", "great", "perfect", "awesome", "cool",
		"danke", "dankeschön", "dank", "hallo", "tschüss", "servus", "moin", "super", "merci", "bonjour", "bonsoir", "salut", "gracias", "hola", "adiós",
		"grazie", "ciao", "obrigado", "obrigada", "olá", "bedankt", "dankjewel", "hoi", "спасибо", "привет", "здравствуйте", "ευχαριστώ", "γεια",
		"شكرا", "شكراً", "مرحبا", "תודה", "שלום", "谢谢", "你好", "谢谢你", "您好", "ありがとう", "ありがとうございます", "こんにちは":
		return true
	}
	return false
}

// padding lists words that courtesies are made longer with.
func padding(w string) bool {
	switch w {
	case "you", "very", "so", "much", "a", "lot", "many", "for", "the", "your", "help", "answer", "that", "is", "was", "s", "all", "again", "good", "morning", "evening", "day", "there", "helpful",
		"vielen", "schön", "sehr", "guten", "tag", "morgen", "abend", "für", "die", "hilfe", "beaucoup", "muchas", "buenos", "días", "mille", "muito", "большое", "je", "wel":
		return true
	}
	return false
}
