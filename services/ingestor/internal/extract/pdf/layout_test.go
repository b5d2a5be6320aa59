package pdf_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// prose makes sentences of made-up words.
func prose(r *rand.Rand, words int) []string {
	out := make([]string, words)
	for i := range out {
		b := make([]byte, 2+r.IntN(9))
		for j := range b {
			b[j] = byte('a' + r.IntN(26))
		}
		out[i] = string(b)
	}
	return out
}

// setLines breaks words into lines of at most width characters.
func setLines(words []string, width int) []string {
	var lines []string
	line := ""
	for _, w := range words {
		if line != "" && len(line)+1+len(w) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+w, " ")
	}
	return append(lines, line)
}

// Words come out in the order a reader takes them, whatever order they were
// drawn in: from top to bottom, the left column before the right one.
func TestReadingOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		columns := 1 + int(seed%3)
		var want, drawn []string
		title := strings.Join(prose(r, 5), " ")
		want = append(want, strings.Fields(title)...)
		drawn = append(drawn, fmt.Sprintf("BT /F2 16 Tf 60 740 Td (%s) Tj ET\n", title))
		width := 480.0/float64(columns) - 16
		for column := range columns {
			for i, line := range setLines(prose(r, 150/columns+20), int(width/5.6)) {
				want = append(want, strings.Fields(line)...)
				drawn = append(drawn, at(60+float64(column)*(width+24), 700-12*float64(i), line))
			}
		}
		if seed%2 == 1 {
			r.Shuffle(len(drawn), func(i, j int) { drawn[i], drawn[j] = drawn[j], drawn[i] })
		}
		got := strings.Fields(pageText(t, onePage(strings.Join(drawn, ""), "")))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d, %d columns: -want +got:\n%s", seed, columns, diff)
		}
	}
}

// table shows rows in columns of 100 points; an empty text shows nothing.
func table(rows ...[]string) string {
	var content strings.Builder
	for i, row := range rows {
		for k, text := range row {
			if text != "" {
				content.WriteString(at(50+100*float64(k), 700-12*float64(i), text))
			}
		}
	}
	return content.String()
}

func TestLayout(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ content, want string }{
		"kerning joins, gaps part": {
			"BT /F1 10 Tf 50 700 Td [(W)80(a)-20(ter)-280(dif)15(fers)] TJ ET", "Water differs",
		},
		"words set one by one": {
			at(50, 700, "one") + at(70, 700, "two") + at(90, 700, "three"), "one two three",
		},
		"drawn backwards": {
			at(90, 700, "three") + at(70, 700, "two") + at(50, 700, "one"), "one two three",
		},
		"hyphen at the line's end": {
			at(50, 700, "a word that is hyphen-") + at(50, 688, "ated at the end"), "a word that is hyphenated at the end",
		},
		"hyphen of a name stays": {
			at(50, 700, "and then they met Jean-") + at(50, 688, "Luc at the harbour"), "and then they met Jean-Luc at the harbour",
		},
		"paragraphs by spacing": {
			at(50, 700, "First paragraph") + at(50, 660, "Second paragraph"), "First paragraph\n\nSecond paragraph",
		},
		"list items": {
			at(50, 700, "- first item of the list that is long") + at(50, 688, "- second item"),
			"- first item of the list that is long\n- second item",
		},
		"table rows": {
			at(50, 700, "Item") + at(150, 700, "Found") + at(50, 688, "Boot") + at(150, 688, "May"), "Item\tFound\nBoot\tMay",
		},
		"empty cell in the middle": {
			table([]string{"Part", "2023", "2024", "2025"}, []string{"Wheel", "1.0", "1.1", "1.2"}, []string{"Soft", "6.0", "", "9.9"}, []string{"Total", "7.0", "1.1", "11.1"}),
			"Part\t2023\t2024\t2025\nWheel\t1.0\t1.1\t1.2\nSoft\t6.0\t\t9.9\nTotal\t7.0\t1.1\t11.1",
		},
		"empty cells up to the last": {
			table([]string{"Item", "Qty", "Price", "Sum"}, []string{"Chain", "40", "2.00", "80.00"}, []string{"Total", "", "", "80.00"}),
			"Item\tQty\tPrice\tSum\nChain\t40\t2.00\t80.00\nTotal\t\t\t80.00",
		},
		"empty cell at the beginning": {
			at(50, 720, "Above the table") + table([]string{"", "Day", "Night"}, []string{"Pool", "4.00", "6.00"}, []string{"Gym", "9.00", "9.50"}),
			"Above the table\n\n\tDay\tNight\nPool\t4.00\t6.00\nGym\t9.00\t9.50",
		},
		"empty cell at the page's beginning": {
			table([]string{"", "Day", "Night"}, []string{"Pool", "4.00", "6.00"}, []string{"Gym", "9.00", "9.50"}),
			"Day\tNight\nPool\t4.00\t6.00\nGym\t9.00\t9.50",
		},
		"one row is no evidence": {
			table([]string{"Item", "Qty", "Price"}, []string{"Total", "", "80.00"}, []string{"Tax", "", "8.00"}),
			"Item\tQty\tPrice\nTotal\t80.00\nTax\t8.00",
		},
		"rows that do not agree are no evidence": {
			at(50, 700, "a") + at(90, 700, "b") + at(130, 700, "c") + at(50, 688, "a") + at(110, 688, "b") + at(150, 688, "c") + at(50, 676, "a") + at(150, 676, "c"),
			"a\tb\tc\na\tb\tc\na\tc",
		},
		"a cell over two columns stays": {
			table([]string{"Item", "Qty", "Price"}, []string{"Chain", "40", "2.00"}) + at(50, 676, "Note") + at(100, 676, "as agreed in a letter"),
			"Item\tQty\tPrice\nChain\t40\t2.00\nNote\tas agreed in a letter",
		},
		"dots far apart are no cells": {
			table([]string{"One", ".", ".", ".", "1"}, []string{"Two", ".", ".", ".", "2"}, []string{"Three", "", "", "", "3"}),
			"One\t.\t.\t.\t1\nTwo\t.\t.\t.\t2\nThree\t3",
		},
		"exponent": {
			"BT /F1 10 Tf 50 700 Td (E = mc) Tj /F1 6 Tf 4 Ts (2) Tj 0 Ts /F1 10 Tf ( holds) Tj ET", "E = mc2 holds",
		},
		"printed twice": {
			at(50, 700, "bold") + at(50.3, 700, "bold"), "bold",
		},
		"invisible text counts": {
			"BT 3 Tr /F1 10 Tf 50 700 Td (recognised) Tj ET", "recognised",
		},
		"outside the page": {
			at(50, 700, "inside") + at(-300, 700, "outside"), "inside",
		},
		"accents put on letters": {
			"BT /F1 10 Tf 50 700 Td (caf) Tj (e) Tj 14.3 0 Td (\\264) Tj 15 0 Td (\\250) Tj (o) Tj ET BT /F1 10 Tf 100 700 Td (\\264) Tj 0 0 Td (a) Tj ET", "café \"o á",
		},
		"show operators": {
			"BT /F1 10 Tf 12 TL 50 700 Td (one) Tj (two) ' 0 0 (three) \" T* (four) Tj ET", "one two three four",
		},
		"scaled by the matrix": {
			"q 0.1 0 0 0.1 50 700 cm BT /F1 100 Tf (a) Tj 100 0 Td (b) Tj ET Q BT /F1 10 Tf 50 650 Td (c) Tj ET", "a b\n\nc",
		},
		"inline image": {
			"BI /W 2 /H 2 ID \x00(EI ) Tj\xff\x80 EI Q\n" + at(50, 700, "after"), "after",
		},
		"letterspaced": {
			"BT /F1 10 Tf 50 700 Td 3 Tc (CONTENTS) Tj ET", "CONTENTS",
		},
		"dot leaders": {
			at(50, 700, "Introduction . . . . . . . . . . . 7") + at(50, 688, "Methods ............ 12"), "Introduction\t7\nMethods\t12",
		},
		"actual text": {
			"/Span <</ActualText (office)>> BDC " + at(50, 700, "o***ce") + " EMC", "office",
		},
		"upside down": {
			"BT /F1 10 Tf -1 0 0 -1 300 700 Tm (over the top) Tj ET", "over the top",
		},
		"going up": {
			"BT /F1 10 Tf 0 1 -1 0 300 100 Tm (climbing) Tj ET", "climbing",
		},
		"unbalanced and unknown": {
			"Q EMC Q ET ) ] >> /F9 12 Tf (x) Tj 1 2 3 foo " + at(50, 700, "still here"), "still here",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, pageText(t, onePage(c.content, ""))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestHeadings(t *testing.T) {
	t.Parallel()
	var content strings.Builder
	content.WriteString("BT /F2 20 Tf 50 760 Td (Large) Tj ET BT /F2 15 Tf 50 720 Td (Middle) Tj ET BT /F2 10 Tf 50 690 Td (1.2 Bold) Tj ET\n")
	for i := range 8 {
		content.WriteString(at(50, 660-12*float64(i), "The body of this page is set in ten points and goes on for a while, as bodies do, line after line."))
	}
	content.WriteString("BT /F2 10 Tf 50 500 Td (A bold sentence, which ends in a full stop.) Tj ET\n")
	page, err := open(t, onePage(content.String(), "")).Page(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	checkPage(t, page)
	var got []string
	for _, h := range page.Headings {
		got = append(got, fmt.Sprint(h.Level, " ", h.Text))
	}
	if diff := cmp.Diff([]string{"1 Large", "2 Middle", "5 1.2 Bold"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	form := func(dict, content string) string {
		return fmt.Sprintf("<</Type/XObject/Subtype/Form%s/Length %d>>\nstream\n%s\nendstream", dict, len(content), content)
	}
	data := onePage("/Fm Do q 1 0 0 1 0 -100 cm /Fm Do Q "+at(50, 100, "end"), "/XObject<</Fm 5 0 R>>",
		form("/Matrix[1 0 0 1 0 50]/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Courier>>>>/XObject<</In 6 0 R>>>>", "/F1 9 Tf /In Do"),
		form("/Resources<</Font<</F1<</Type/Font/Subtype/Type1/BaseFont/Courier>>>>>>", at(50, 600, "inner")))
	if diff := cmp.Diff(strings.Repeat("inner\n\n", 2)+"end", pageText(t, data)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
