package blobtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/fault"
)

// paging walks all blobs, a page at a time, and asks for each.
func paging(t *testing.T, s *blob.Store) {
	t.Helper()
	var want []string
	for i := range 7 {
		k := key(t, fmt.Sprint("d", i%3), fmt.Sprint("u__0x2f__", i))
		put(t, s, k, "bytes")
		want = append(want, k)
	}
	slices.Sort(want)
	for _, limit := range []int{1, 3, 7, 100} {
		var got []string
		from := ""
		for pages := 0; ; pages++ {
			items, next, err := s.Page(t.Context(), from, limit)
			if err != nil || len(items) > limit || pages > len(want) {
				t.Fatalf("page %d of %d: %d items, %v", pages, limit, len(items), err)
			}
			for _, item := range items {
				if item.Owner() != "acme" || item.Bytes != 5 || item.ModTime.IsZero() {
					t.Errorf("got %+v of %q", item, item.Owner())
				}
				got = append(got, item.Key)
			}
			if from = next; from == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	if _, _, err := s.Page(t.Context(), "no place!", 1); !fault.Is(err, fault.Invalid) {
		t.Errorf("from nowhere: %v", err)
	}
	if err := s.Delete(t.Context(), want[0]); err != nil {
		t.Fatal(err)
	}
	for i, k := range want[:2] {
		if has, err := s.Has(t.Context(), k); err != nil || has != (i == 1) {
			t.Errorf("%s is there: %t, %v", k, has, err)
		}
	}
	if _, err := s.Has(t.Context(), "documents/../x"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a key that is none: %v", err)
	}
}
