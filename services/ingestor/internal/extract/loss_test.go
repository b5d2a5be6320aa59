package extract

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/fault"
)

func TestWhatPagesLoseIsSaid(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		pages []string
		want  []string
	}{
		{"blank pages lose nothing", []string{"one", "blank"}, nil},
		{"a scan", []string{"one", "a scan", "three"}, []string{"page 2 has no text, only an image (a scan?)"}},
		{"several", []string{"one", "a scan", "a scan", "cut", "a scan"}, []string{
			"3 pages (2–3, 5) have no text, only images (scans?)",
			"page 4 is damaged, and some of its text is missing",
		}},
		{"beside pages that cannot be read", []string{"one", "error", "a scan"}, []string{
			"page 2 could not be read: it is damaged",
			"page 3 has no text, only an image (a scan?)",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, sum, err := run(t, extractor(t, Limits{}), Source{File: file(t, script(tc.pages...))})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, sum.Warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALossThatNobodyKnowsIsACrash(t *testing.T) {
	t.Parallel()
	_, _, err := run(t, extractor(t, Limits{Restarts: -1}), Source{File: file(t, script("one", "unknown loss"))})
	wantFault(t, err, "extraction_crashed")
}

func TestADocumentWithoutTextSaysWhatItHasInstead(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"a scan": "the PDF has no text, only images (a scan?); it would need OCR, which is not done here",
		"blank":  "the PDF has no text: its pages are blank, or hold nothing but drawings",
		"error":  "no page of the document could be read; page 1 could not be read: it is damaged",
	} {
		_, _, err := run(t, extractor(t, Limits{}), Source{File: file(t, script(page))})
		if _, message := fault.Public(err); message != want {
			t.Errorf("%s: %q, want %q", page, message, want)
		}
	}
}

func TestRangesOfPagesAreBounded(t *testing.T) {
	t.Parallel()
	odd := make([]int, 0, 50)
	for i := range 50 {
		odd = append(odd, 2*i+1)
	}
	for want, pages := range map[string][]int{
		"1":                                    {1},
		"2–13":                                 {2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
		"1–2, 4, 6–7":                          {1, 2, 4, 6, 7},
		"1, 3, 5, 7, 9, 11, 13, 15, 17, 19, …": odd,
	} {
		if got := ranges(pages); got != want {
			t.Errorf("%v is written %q, want %q", pages, got, want)
		}
	}
}
