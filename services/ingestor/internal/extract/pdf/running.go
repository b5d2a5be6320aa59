package pdf

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxRunning is the longest running head or foot, in characters: what is
	// longer says something, and is kept on every page.
	maxRunning = 120
	// maxNumbers bounds the numbers of a line that are tried as its page's.
	maxNumbers = 4
	// pageNumber marks the number of its page in a running form.
	pageNumber = "\x00"
)

// runningForms returns the forms under which a line at the edge of a page
// (from 0) is known on other pages: as it is, and with each of its numbers in
// turn replaced by its distance from the page. A line whose numbers change in
// another way than the pages' is no running line but a text of its own.
func runningForms(text string, page int) []string {
	if utf8.RuneCountInString(text) > maxRunning {
		return nil
	}
	text = strings.Join(strings.Fields(text), " ")
	forms := []string{text}
	for from := 0; from < len(text) && len(forms) <= maxNumbers; {
		start := strings.IndexFunc(text[from:], unicode.IsDigit)
		if start < 0 {
			break
		}
		start += from
		rest := strings.TrimLeftFunc(text[start:], unicode.IsDigit)
		end := len(text) - len(rest)
		if number, err := strconv.Atoi(text[start:end]); err == nil {
			forms = append(forms, text[:start]+pageNumber+strconv.Itoa(number-page)+pageNumber+rest)
		}
		from = end
	}
	return forms
}

// isRunningForm reports whether the sampled pages, which ascend, that have a
// line of this form at their edge make it a running one. Neighbours alone do
// not, unless the line counts them or there are no others: slides that are
// shown bit by bit repeat their title.
func isRunningForm(form string, pages []int, total int) bool {
	first, last := pages[0], pages[len(pages)-1]
	return first < last && (last-first > 1 || total <= 3 || strings.Contains(form, pageNumber))
}

// repeats reports whether a paragraph at the edge of a page (from 0) is on
// other pages too. The first page shows it once for all.
func (b *bodyStyle) repeats(p *paragraph, page int) bool {
	if page == 0 {
		return false
	}
	for _, form := range runningForms(p.text, page) {
		if b.repeated[form] {
			return true
		}
	}
	return false
}
