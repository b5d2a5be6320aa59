package textdoc_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/page"
	"github.com/ragbus/ragbus/services/ingestor/internal/extract/textdoc"
)

func read(t testing.TB, r io.Reader, opts textdoc.Options) ([]page.Page, textdoc.Result) {
	t.Helper()
	if opts.MaxBytes == 0 {
		opts.MaxBytes = 1 << 30
	}
	var parts []page.Page
	res, err := textdoc.Read(t.Context(), r, opts, func(p page.Page) error {
		parts = append(parts, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return parts, res
}

// whole joins the parts, checking that they make one system of offsets.
func whole(t testing.TB, parts []page.Page) (string, []page.Heading) {
	t.Helper()
	var b strings.Builder
	var headings []page.Heading
	runes := 0
	for i, p := range parts {
		if p.Offset != runes || p.Number != 0 {
			t.Errorf("part %d is at %d of page %d, want %d", i, p.Offset, p.Number, runes)
		}
		if len(p.Text) > page.MaxPart || !utf8.ValidString(p.Text) || page.Suspect(p.Text) && !strings.ContainsAny(p.Text, "\u200c\u200d") {
			t.Errorf("part %d has %d bytes, valid %v", i, len(p.Text), utf8.ValidString(p.Text))
		}
		n := utf8.RuneCountInString(p.Text)
		for _, h := range p.Headings {
			if h.Start < 0 || h.Start >= n {
				t.Errorf("heading %q at %d of %d", h.Text, h.Start, n)
			}
			h.Start += runes
			headings = append(headings, h)
		}
		runes += n
		b.WriteString(p.Text)
	}
	return b.String(), headings
}

func TestTextIsCleaned(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"line ends", "a\r\nb\rc\n\r\nd\u2028e\fg", "a\nb\nc\n\nd\ne\ng"},
		{"byte order mark", "\ufeffa", "a"},
		{"invisible", "a\u200bb\u202ec\u2066d\u00ade\x00f\x1bg\U000e0041h\ufeffi", "abcdefghi"},
		{"joiners beyond Latin stay", "می\u200cخواهم a\u200db 👩\u200d👩", "می\u200cخواهم ab 👩\u200d👩"},
		{"Windows-1252", "\x93caf\xe9\x94 \x80", "“café” €"},
		{"UTF-8 and Latin-1 in one", "ü\xfc", "üü"},
		{"undefined in Windows-1252", "a\x81\x8db", "ab"},
		{"cut off code point", "a\xe2\x82", "aâ‚"},
		{"all of Unicode else", "日本 \u00a0 ẞ 𝔘", "日本 \u00a0 ẞ 𝔘"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			parts, _ := read(t, strings.NewReader(tc.in), textdoc.Options{})
			slow, _ := read(t, iotest.OneByteReader(strings.NewReader(tc.in)), textdoc.Options{})
			got, _ := whole(t, parts)
			bytewise, _ := whole(t, slow)
			if got != tc.want || bytewise != tc.want {
				t.Errorf("got %q, bytewise %q, want %q", got, bytewise, tc.want)
			}
		})
	}
}

func TestNamedCharsetIsDecoded(t *testing.T) {
	t.Parallel()
	parts, res := read(t, strings.NewReader("\x93\xfa\x96{"), textdoc.Options{Charset: "shift_jis"})
	if got, _ := whole(t, parts); got != "日本" || res.Legacy != 0 {
		t.Errorf("got %q, %d legacy bytes", got, res.Legacy)
	}
	parts, _ = read(t, strings.NewReader("a\xe9"), textdoc.Options{Charset: "no-such-charset"})
	if got, _ := whole(t, parts); got != "aé" {
		t.Errorf("got %q", got)
	}
}

func TestPlainTextHasOnlyUnderlinedHeadings(t *testing.T) {
	t.Parallel()
	parts, res := read(t, strings.NewReader("# comment\n\nA title\n=======\n\na\n--\n\ntwo lines\nof text\n-------\n"), textdoc.Options{})
	_, got := whole(t, parts)
	if diff := cmp.Diff([]page.Heading{{Start: 11, Level: 1, Text: "A title"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if res.Title != "A title" {
		t.Errorf("title %q", res.Title)
	}
}

func TestFrontMatterThatIsNoneIsText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"---\n\n# Real\n", "---\n" + strings.Repeat("line\n", 300) + "\n# Real\n"} {
		parts, _ := read(t, strings.NewReader(text), textdoc.Options{Markdown: true})
		if _, got := whole(t, parts); len(got) != 1 || got[0].Text != "Real" {
			t.Errorf("headings %+v", got)
		}
	}
}

func TestFrontMatterIsLeftOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want, title string }{
		{"with a title", "---\ntitle: \"A: b\"\ntags: [a, b]\nlist:\n  - x\n- y\n# comment\n\n---\n# One\n\nText.", "# One\n\nText.", "A: b"},
		{"without one", "---\nauthor: x\n...\n\n# One\n", "\n# One\n", "One"},
		{"with line ends of Windows", "---\r\nauthor: x\r\n---\r\ntext", "text", ""},
		{"nothing else", "---\nauthor: x\n---", "", ""},
		{"a rule and text", "---\nIt says: this is text.\n---\nmore", "---\nIt says: this is text.\n---\nmore", ""},
		{"never closed", "---\nkey: value\n", "---\nkey: value\n", ""},
		{"a title, then text", "---\ntitle: x\nThis is text.\n---\nmore", "---\ntitle: x\nThis is text.\n---\nmore", ""},
		{"further down", "text\n\n---\nkey: value\n---\n", "text\n\n---\nkey: value\n---\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			parts, res := read(t, iotest.OneByteReader(strings.NewReader(tc.in)), textdoc.Options{Markdown: true})
			if got, _ := whole(t, parts); got != tc.want || res.Title != tc.title || res.Bytes != int64(len(got)) {
				t.Errorf("got %q, result %+v, want %q", got, res, tc.want)
			}
		})
	}
	parts, _ := read(t, strings.NewReader("---\nkey: value\n---\n"), textdoc.Options{})
	if got, _ := whole(t, parts); got != "---\nkey: value\n---\n" {
		t.Errorf("plain text has no front matter, got %q", got)
	}
}

func TestMarksOfFootnotesAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, in, want string }{
		{"reference and note", "Opened in 1931.[^1] It has\n\n[^1]: A flood came.\n[^long-name]:\n    Indented.\n", "Opened in 1931. It has\n\nA flood came.\n\n    Indented.\n"},
		{"several in a line", "a[^1][^2], b[^3]", "a, b"},
		{"in a table", "| a[^1] | b |", "| a | b |"},
		{"in code", "use `x[^1]` and\n\n```\ny[^2]\n[^3]: z\n```\n", "use `x[^1]` and\n\n```\ny[^2]\n[^3]: z\n```\n"},
		{"what is no mark", "[^a-z]+ and x[^ab] and see [^1] and [^ 1]: x and a[^12345]", "[^a-z]+ and x[^ab] and see [^1] and [^ 1]: x and a[^12345]"},
		{"links", "[^1](x) a[1] [x]: y", "[^1](x) a[1] [x]: y"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			parts, res := read(t, iotest.OneByteReader(strings.NewReader(tc.in)), textdoc.Options{Markdown: true})
			if got, _ := whole(t, parts); got != tc.want || res.Bytes != int64(len(got)) {
				t.Errorf("got %q, result %+v, want %q", got, res, tc.want)
			}
		})
	}
}

func TestHeadingsStandWhereTheyAreKept(t *testing.T) {
	t.Parallel()
	text := "---\nkey: value\n---\n# Öne[^1]\n\nText.[^2]\n\nTwo[^3]\n===\n\n[^1]: Note.\n\n" + strings.Repeat("Some text.[^4]\n", 9000) + "\n# Three\n"
	parts, _ := read(t, strings.NewReader(text), textdoc.Options{Markdown: true})
	got, headings := whole(t, parts)
	runes := []rune(got)
	for i, want := range []string{"# Öne\n", "Two\n===", "# Three\n"} {
		at := headings[i].Start
		if !strings.HasPrefix(string(runes[at:min(at+20, len(runes))]), want) || strings.Trim(want, "#=\n ") != headings[i].Text {
			t.Errorf("heading %+v stands at %q, want %q", headings[i], string(runes[at:min(at+20, len(runes))]), want)
		}
	}
	if len(parts) < 2 || strings.Contains(got, "[^") {
		t.Errorf("%d parts, of which some hold marks", len(parts))
	}
}

func TestPartsAreCutAtStructure(t *testing.T) {
	t.Parallel()
	section := "# A heading\n\n" + strings.Repeat("A line of text.\n", 50) + "\n"
	parts, _ := read(t, strings.NewReader(strings.Repeat(section, 1000)), textdoc.Options{Markdown: true})
	if len(parts) < 5 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, p := range parts {
		if !strings.HasPrefix(p.Text, "# A heading") {
			t.Errorf("part %d begins with %.20q", i, p.Text)
		}
	}
	if text, headings := whole(t, parts); text != strings.Repeat(section, 1000) || len(headings) != 1000 {
		t.Errorf("%d bytes, %d headings", len(text), len(headings))
	}
}

func TestLineWithoutEndIsCutInside(t *testing.T) {
	t.Parallel()
	for _, line := range []string{strings.Repeat("word ", 1<<20), strings.Repeat("ü", 3<<20), strings.Repeat("x", 3<<20)} {
		parts, _ := read(t, strings.NewReader("first\n"+line), textdoc.Options{})
		if got, _ := whole(t, parts); got != "first\n"+line {
			t.Errorf("%d bytes became %d", len(line)+6, len(got))
		}
	}
}

// TestMemoryIsBounded runs alone: it looks at the heap of the whole process.
func TestMemoryIsBounded(t *testing.T) {
	const size = 200 << 20
	line := bytes.Repeat([]byte("A line of a very long text that never ends, or so it seems.\n\n"), 500)
	endless := io.LimitReader(&repeat{unit: line}, size)
	var before, peak runtime.MemStats
	runtime.ReadMemStats(&before)
	parts, most := 0, uint64(0)
	res, err := textdoc.Read(t.Context(), endless, textdoc.Options{Markdown: true, MaxBytes: 1 << 30}, func(page.Page) error {
		if parts++; parts%100 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&peak)
			most = max(most, peak.HeapAlloc)
		}
		return nil
	})
	if err != nil || res.Bytes != size {
		t.Fatalf("%d bytes, %v", res.Bytes, err)
	}
	if most > before.HeapAlloc+32<<20 {
		t.Errorf("the heap grew from %d to %d KiB", before.HeapAlloc>>10, most>>10)
	}
}

type repeat struct {
	unit []byte
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.unit[r.at:])
	r.at = (r.at + n) % len(r.unit)
	return n, nil
}

func TestReadStops(t *testing.T) {
	t.Parallel()
	endless := &repeat{unit: bytes.Repeat([]byte("text\n\n"), 1000)}
	_, err := textdoc.Read(t.Context(), endless, textdoc.Options{MaxBytes: 1 << 20}, func(page.Page) error { return nil })
	if code, _ := fault.Public(err); code != "too_much_text" {
		t.Errorf("beyond the limit: %v", err)
	}
	stop := errors.New("stop")
	_, err = textdoc.Read(t.Context(), endless, textdoc.Options{MaxBytes: 1 << 30}, func(page.Page) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	_, err = textdoc.Read(ctx, endless, textdoc.Options{MaxBytes: 1 << 30}, func(page.Page) error { return nil })
	if !errors.Is(err, stop) {
		t.Errorf("cancelled: %v", err)
	}
	_, err = textdoc.Read(t.Context(), iotest.ErrReader(stop), textdoc.Options{MaxBytes: 1}, func(page.Page) error { return nil })
	if !errors.Is(err, stop) || fault.Is(err, fault.Permanent) {
		t.Errorf("reading fails: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("---\ntitle: x\n---\n# a\n\nb\n=\n```\n# c\n```\n"), true, 0)
	f.Add([]byte("a\r\nb\xe9\x00"), false, 0)
	f.Add([]byte("\xff\xfea\x00b\x00"), true, 1)
	f.Fuzz(func(t *testing.T, raw []byte, markdown bool, enc int) {
		opts := textdoc.Options{Markdown: markdown, Encoding: textdoc.Encoding(uint(enc) % 3)}
		parts, res := read(t, bytes.NewReader(raw), opts)
		text, _ := whole(t, parts)
		if int64(len(text)) != res.Bytes || res.Visible != (strings.TrimSpace(text) != "") {
			t.Errorf("%d bytes of text, result %+v", len(text), res)
		}
		again, _ := read(t, iotest.HalfReader(bytes.NewReader(raw)), opts)
		slow, _ := whole(t, again)
		if slow != text {
			t.Errorf("text depends on the sizes of reads: %q and %q", text, slow)
		}
		twice, _ := read(t, strings.NewReader(text), textdoc.Options{})
		if second, _ := whole(t, twice); second != text {
			t.Errorf("clean text changes: %q to %q", text, second)
		}
	})
}
