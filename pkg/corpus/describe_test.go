package corpus

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestADescriptionIsFitForPeople(t *testing.T) {
	t.Parallel()
	many := strings.Split(strings.Repeat("p,", MaxACL)+"p", ",")
	for name, c := range map[string]struct {
		in          Description
		code, field string
	}{
		"nothing":                   {Description{}, "", ""},
		"all of it":                 {Description{Title: "Straße ✓", Source: "https://example.com/a?b#c", Metadata: map[string]any{"a": 1.0}, ACL: []string{"*"}}, "", ""},
		"the longest title":         {Description{Title: strings.Repeat("ß", MaxTitleRunes)}, "", ""},
		"a mail":                    {Description{Source: "mailto:a@example.com"}, "", ""},
		"a title too long":          {Description{Title: strings.Repeat("x", MaxTitleRunes+1)}, "invalid_title", "title"},
		"a title of two lines":      {Description{Title: "a\nb"}, "invalid_title", "title"},
		"a title for a terminal":    {Description{Title: "\x1b[31mred"}, "invalid_title", "title"},
		"a title with a C1 control": {Description{Title: "\u009b31mred"}, "invalid_title", "title"},
		"a source that runs":        {Description{Source: "javascript:alert(1)"}, "invalid_source", "source"},
		"a source that runs, loud":  {Description{Source: "JavaScript:alert(1)"}, "invalid_source", "source"},
		"a source of data":          {Description{Source: "data:text/html,x"}, "invalid_source", "source"},
		"a source without scheme":   {Description{Source: "example.com/a"}, "invalid_source", "source"},
		"a source with a blank":     {Description{Source: "https://example.com/a b"}, "invalid_source", "source"},
		"a source too long":         {Description{Source: "https://example.com/" + strings.Repeat("x", MaxSourceBytes)}, "invalid_source", "source"},
		"an acl of nobody":          {Description{ACL: []string{}}, "invalid_acl", "acl"},
		"an acl too long":           {Description{ACL: many}, "invalid_acl", "acl"},
		"an empty principal":        {Description{ACL: []string{""}}, "invalid_principal", "acl"},
		"metadata that nests":       {Description{Metadata: map[string]any{"a": []any{}}}, "invalid_metadata", "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.in.Check()
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if code, _ := fault.Public(err); !fault.Is(err, fault.Invalid) || code != c.code || fault.Field(err) != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFilenameIsTheLastElementOfAPathAndCanBeShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a.pdf": "a.pdf", "../../etc/passwd": "passwd", `C:\Users\me\a.pdf`: "a.pdf", "a/b/": "b", "/": "", ".": "", "..": "", "a/..": "",
		" a b ": "a b", "a/ .. ": "", ".\u200b.": "", "a\x00b\x1b[0m": "ab[0m", "\xffx": "x", "ü\u202etxt.exe": "ütxt.exe",
		strings.Repeat("ü", 200): strings.Repeat("ü", 127), "." + strings.Repeat(" ", 300) + "x": "",
	} {
		if got := CleanFilename(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzCleanFilename(f *testing.F) {
	for _, s := range []string{"../../x", `a\.. `, ". /", "\xff\u202e", strings.Repeat("é ", 200)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := CleanFilename(name)
		if len(got) > MaxFilenameBytes || strings.ContainsAny(got, "/\\\x00\r\n") || got == "." || got == ".." || !utf8.ValidString(got) {
			t.Fatalf("%q became %q", name, got)
		}
		if again := CleanFilename(got); again != got {
			t.Fatalf("%q became %q and that %q", name, got, again)
		}
	})
}
