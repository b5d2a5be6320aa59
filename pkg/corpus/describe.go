package corpus

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ragbus/ragbus/pkg/fault"
)

// Bounds of what describes a document, besides those of its metadata and acl.
const (
	MaxTitleRunes    = 500
	MaxSourceBytes   = 2048
	MaxFilenameBytes = 255
)

// Description is what a sender may say about a document, whichever way it
// comes in. It is shown to people and put into citations, so it is checked
// where it enters: by an upload, by an event, by a change.
type Description struct {
	Title    string
	Source   string
	Metadata map[string]any
	ACL      []string
}

// Check returns an Invalid fault, which names the field, unless the title is
// one line of at most [MaxTitleRunes], the source is empty or a URL that a
// person may follow, and [CheckACL] and [CheckMetadata] agree with the rest.
func (d Description) Check() error {
	if n := utf8.RuneCountInString(d.Title); n > MaxTitleRunes {
		return fault.Invalidf("invalid_title", "title has %d characters; the limit is %d", n, MaxTitleRunes).WithField("title")
	}
	if strings.ContainsFunc(d.Title, unicode.IsControl) {
		return fault.Invalidf("invalid_title", "title holds control characters").WithField("title")
	}
	if err := checkSource(d.Source); err != nil {
		return err
	}
	if err := CheckACL(d.ACL); err != nil {
		return err
	}
	return CheckMetadata(d.Metadata)
}

// checkSource accepts a URL that a person may follow from a citation.
func checkSource(source string) error {
	if source == "" {
		return nil
	}
	bad := func(why string) error {
		return fault.Invalidf("invalid_source", "source %s", why).WithField("source")
	}
	if len(source) > MaxSourceBytes {
		return bad(fmt.Sprintf("has %d bytes; the limit is %d", len(source), MaxSourceBytes))
	}
	for _, c := range source {
		if !unicode.IsPrint(c) || c == ' ' {
			return bad("holds blanks or characters that cannot be printed; encode them with %")
		}
	}
	u, err := url.Parse(source)
	if err != nil || u.Scheme == "" {
		return bad("is not a URL with a scheme, such as https://example.com/page")
	}
	switch strings.ToLower(u.Scheme) {
	case "javascript", "data", "vbscript", "blob":
		return bad("has a scheme that a page could run; use https, or another that names a place")
	}
	return nil
}

// CleanFilename returns the last element of a path, of whatever system,
// without what is not shown, and "" when nothing is left. It is for people
// only and never becomes a path. What is clean stays as it is.
func CleanFilename(name string) string {
	name = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return -1
		}
		return c
	}, strings.ToValidUTF8(name, ""))
	name = strings.TrimSpace(path.Base(strings.ReplaceAll(name, `\`, "/")))
	for len(name) > MaxFilenameBytes {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	// Last, for the blanks around it hide what it is.
	name = strings.TrimSpace(name)
	if name == "." || name == ".." || name == "/" {
		return ""
	}
	return name
}
