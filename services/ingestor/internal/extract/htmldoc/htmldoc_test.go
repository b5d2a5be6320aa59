package htmldoc_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/htmldoc"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
)

const mib = 1 << 20

func read(t testing.TB, html, contentType string) (string, htmldoc.Result, error) {
	t.Helper()
	var text strings.Builder
	res, err := htmldoc.Read(t.Context(), strings.NewReader(html), htmldoc.Options{ContentType: contentType, MaxBytes: 4 * mib}, func(p page.Page) error {
		n := utf8.RuneCountInString(p.Text)
		for _, h := range p.Headings {
			if h.Start < 0 || h.Start >= n || h.Text == "" {
				t.Errorf("heading %+v in %d code points", h, n)
			}
		}
		text.WriteString(p.Text)
		return nil
	})
	return text.String(), res, err
}

func TestWhatAPageSaysAndWhatItHides(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, html, want string }{
		{"white space", "<p>a\n  b\t c</p>\n\n<p>d", "a b c\n\nd"},
		{"inline elements", "a<b>b</b><span>c</span> <i>d</i>", "abc d"},
		{"text beside blocks", "a<div>b</div>c", "a\n\nb\n\nc"},
		{"entities", "&lt;a&gt; &amp;amp; &euro;&#x20ac;&nbsp;x", "<a> &amp; €€ x"},
		{"comments and scripts", "a<!-- b --><script>c</script><style>d</style><noscript>e</noscript><template>f</template>g", "a\n\ng"},
		{"hidden", `a<span hidden>b</span><span style="Display : NONE !important">c</span><i style="font-size:0px">d</i><i style="opacity:0">e</i><i style="font-size:10px">f</i>`, "af"},
		{"hidden until found", `<p hidden="until-found">a`, "a"},
		{"hidden paragraph without an end", `<p hidden>a<p>b`, "b"},
		{"hidden body is a script's doing", `<body style="display:none"><p>a`, "a"},
		{"navigation", "<nav>a</nav>b<div role=navigation>c</div>", "b"},
		{"an aside of the main content", "<main><p>what the page says<aside>b<nav>c</nav></aside></main><aside>an advertisement</aside>", "what the page says\n\nb"},
		{"an aside of an article", "<article><p>a<aside>b</aside></article><aside>c</aside>", "a\n\nb\n\nc"},
		{"pictures that say something", `<p>The <img src=x alt="Plan of the clinic">, <img alt=""><img alt="[*]">and <img alt="IMG_1.JPG"><img alt=x aria-hidden=true><img alt=y role=presentation>more<nav><img alt=z></nav>`, "The Plan of the clinic , and more"},
		{"a picture alone", `<div><img alt='A map of "the" harbour'></div>b`, "A map of \"the\" harbour\n\nb"},
		{"header without main content", "<header>a</header><p>b</p><footer>c</footer>", "a\n\nb\n\nc"},
		{"header with main content", "<header>a</header><main><p>b</p></main><footer>c</footer>", "b"},
		{"main by role", "<div>menu</div><div role=main><div>before</div>centre</div><div>after</div>", "before\n\ncentre"},
		{"empty main", "<main></main><div><p>all the text is outside of it</div>", "all the text is outside of it"},
		{"head without its end", "<head><title>t</title><p>a", "a"},
		{"lists", "<ul><li>a<ul><li>b</ul><li>c</ul><ol><li>x<li>y</ol>", "- a\n  - b\n- c\n1. x\n2. y"},
		{"unmatched ends", "</div></p>a</span></ul></table>b", "ab"},
		{"cell of blocks", "<table><tr><td><p>a<p>b<td>c|d</table>", "| a b | c\\|d |"},
		{"rows without ends", "<table><tr><td>a<td>b<tr><td>c<td>d</table>", "| a | b |\n| c | d |"},
		{"a cell over two rows", "<table><tr><td rowspan=2>Pool<td>day<td>4<tr><td>night<td>6<tr><td>Gym<td>all<td>9</table>", "| Pool | day | 4 |\n| Pool | night | 6 |\n| Gym | all | 9 |"},
		{"a cell over two columns", "<table><tr><th>a<th>b<th>c<tr><td colspan=2>x<td>y<tr><td colspan=3>z</table>", "| a | b | c |\n| x | | y |\n| z |"},
		{"a span to the end of its group", "<table><tbody><tr><td rowspan=0>a<td>b<tr><td>c</tbody><tbody><tr><td>d<td>e</table>", "| a | b |\n| a | c |\n| d | e |"},
		{"spans that are no numbers", "<table><tr><td rowspan=x colspan=-3>a<td>b<tr><td>c<td>d</table>", "| a | b |\n| c | d |"},
		{"preformatted", "<pre>a\n  b ```\n</pre>", "````\na\n  b ```\n````"},
		{"invisible characters", "a\u200bb&#x202e;c&#xE0041;", "abc"},
		{"svg title", "<svg><title>no</title><text>no</text></svg>yes", "yes"},
		{"plaintext", "a<plaintext>b<c>", "a\n\nb<c>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := read(t, tc.html, "")
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestTitle(t *testing.T) {
	t.Parallel()
	for html, want := range map[string]string{
		"<title> A\n title &amp; more </title><h1>h</h1>": "A title & more",
		"<h2>b</h2><h1>The <i>h1</i></h1>":                "The h1",
		"<body><svg><title>icon</title></svg><p>x":        "",
	} {
		if _, res, err := read(t, html, ""); err != nil || res.Title != want {
			t.Errorf("%s: title %q, %v; want %q", html, res.Title, err, want)
		}
	}
}

func TestCharsets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ html, contentType, want string }{
		{"<p>caf\xe9", "", "café"},
		{"<p>\x93\xfa\x96{", "text/html; charset=shift_jis", "日本"},
		{"<meta charset=koi8-r><p>\xc4\xc1", "", "да"},
		{"<p>größe", "", "größe"},
		{"\xff\xfe<\x00p\x00>\x00a\x00", "", "a"},
	} {
		if got, _, err := read(t, tc.html, tc.contentType); err != nil || got != tc.want {
			t.Errorf("%q: got %q, %v", tc.html, got, err)
		}
	}
}

func TestHostilePages(t *testing.T) {
	t.Parallel()
	const many = 50_000
	for name, html := range map[string]string{
		"deep nesting":         strings.Repeat("<div>", many) + "text" + strings.Repeat("</div>", many),
		"deep tables":          strings.Repeat("<table><tr><td>", many) + "text",
		"many lists":           strings.Repeat("<ul><li>", many) + "text",
		"many ends":            "text" + strings.Repeat("</p>", many),
		"many cells":           "text<table><tr>" + strings.Repeat("<td>a", many),
		"many paragraphs":      strings.Repeat("<b><p>", many) + "text",
		"many hidden elements": strings.Repeat("<p hidden>", many) + "<p>text",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := read(t, html, "")
			if err != nil || !strings.Contains(got, "text") {
				t.Errorf("%d bytes of text, %v", len(got), err)
			}
		})
	}
	_, _, err := read(t, "<p title=\""+strings.Repeat("x", 17*mib)+"\">", "")
	if code, _ := fault.Public(err); code != "too_complex" {
		t.Errorf("huge attribute: %v", err)
	}
	_, _, err = read(t, strings.Repeat("<p>text of some length", 220_000), "")
	if code, _ := fault.Public(err); code != "too_much_text" {
		t.Errorf("too much text: %v", err)
	}
}

func TestLongPageComesInParts(t *testing.T) {
	t.Parallel()
	html := strings.Repeat("<h2>Über</h2><p>text with ümlauts", 20_000)
	parts, runes := 0, 0
	_, err := htmldoc.Read(t.Context(), strings.NewReader(html), htmldoc.Options{MaxBytes: 64 * mib}, func(p page.Page) error {
		if p.Offset != runes {
			t.Errorf("part %d at %d, want %d", parts, p.Offset, runes)
		}
		text := []rune(p.Text)
		for _, h := range p.Headings {
			if string(text[h.Start:h.Start+4]) != "Über" {
				t.Errorf("heading at %d is %q", h.Start, string(text[h.Start:h.Start+4]))
			}
		}
		runes += len(text)
		parts++
		return nil
	})
	if err != nil || parts < 3 {
		t.Errorf("%d parts, %v", parts, err)
	}
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err := htmldoc.Read(ctx, strings.NewReader("<p>a"), htmldoc.Options{MaxBytes: mib}, func(page.Page) error { return nil })
	if !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	_, err = htmldoc.Read(t.Context(), strings.NewReader("<p>a"), htmldoc.Options{MaxBytes: mib}, func(page.Page) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<main><h1>a</h1><table><tr><td>b<table><tr><td>c</table><ul><li>d</ul></main>", "text/html")
	f.Add("<p hidden>x<p>y<pre>z```</pre><li></ul></table></td>", "text/html; charset=utf-16le")
	f.Add("<?xml version='1.0'?><html><div/><q>x</q></html>", "")
	f.Fuzz(func(t *testing.T, html, contentType string) {
		text, res, err := read(t, html, contentType)
		if err != nil && !fault.Is(err, fault.Permanent) {
			t.Errorf("error is not the document's: %v", err)
		}
		if page.Clean(text) != text || err == nil && int64(len(text)) != res.Bytes {
			t.Errorf("text of %d bytes is not clean, or not all of %d", len(text), res.Bytes)
		}
	})
}
