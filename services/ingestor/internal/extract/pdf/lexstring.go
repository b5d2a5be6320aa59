package pdf

func (l *lexer) name() object {
	l.pos++
	start := l.pos
	escaped := false
	for l.pos < len(l.data) && !isSpace(l.data[l.pos]) && !isDelimiter(l.data[l.pos]) {
		escaped = escaped || l.data[l.pos] == '#'
		l.pos++
	}
	raw := l.data[start:l.pos]
	if !escaped {
		return object{kind: kindName, b: raw}
	}
	from := len(l.text)
	for i := 0; i < len(raw); i++ {
		if raw[i] == '#' && i+2 < len(raw) && unhex(raw[i+1]) >= 0 && unhex(raw[i+2]) >= 0 {
			l.text = append(l.text, byte(unhex(raw[i+1])<<4|unhex(raw[i+2])))
			i += 2
			continue
		}
		l.text = append(l.text, raw[i])
	}
	return object{kind: kindName, b: l.text[from:]}
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func (l *lexer) hex() object {
	l.pos++
	from, high := len(l.text), -1
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		l.pos++
		if c == '>' {
			break
		}
		d := unhex(c)
		switch {
		case d < 0:
		case high < 0:
			high = d
		default:
			l.text = append(l.text, byte(high<<4|d))
			high = -1
		}
	}
	if high >= 0 {
		l.text = append(l.text, byte(high<<4))
	}
	return object{kind: kindString, b: l.text[from:len(l.text):len(l.text)]}
}

func (l *lexer) literal() object {
	l.pos++
	start, depth := l.pos, 1
	for i := start; i < len(l.data); i++ { // the common case needs no copy
		switch l.data[i] {
		case '(':
			depth++
			continue
		case ')':
			if depth--; depth > 0 {
				continue
			}
			l.pos = i + 1
			return object{kind: kindString, b: l.data[start:i]}
		case '\\', '\r':
			return l.escapedLiteral(start)
		}
	}
	l.pos = len(l.data)
	return object{kind: kindString, b: l.data[start:]}
}

func (l *lexer) escapedLiteral(start int) object {
	from, depth := len(l.text), 1
	l.pos = start
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		l.pos++
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return object{kind: kindString, b: l.text[from:len(l.text):len(l.text)]}
			}
		case '\r':
			if l.peek(0) == '\n' {
				l.pos++
			}
			c = '\n'
		case '\\':
			l.escape()
			continue
		}
		l.text = append(l.text, c)
	}
	return object{kind: kindString, b: l.text[from:len(l.text):len(l.text)]}
}

// escape reads what follows a backslash in a literal string.
func (l *lexer) escape() {
	if l.pos >= len(l.data) {
		return
	}
	c := l.data[l.pos]
	l.pos++
	switch c {
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case '\r':
		if l.peek(0) == '\n' {
			l.pos++
		}
		return
	case '\n':
		return
	case '0', '1', '2', '3', '4', '5', '6', '7':
		value := int(c - '0')
		for i := 0; i < 2 && l.pos < len(l.data) && l.data[l.pos] >= '0' && l.data[l.pos] <= '7'; i++ {
			value = value<<3 | int(l.data[l.pos]-'0')
			l.pos++
		}
		c = byte(value)
	}
	l.text = append(l.text, c)
}
