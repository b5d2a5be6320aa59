package gateway

import "testing"

func TestIfNoneMatchIsAListThatIsComparedWeakly(t *testing.T) {
	t.Parallel()
	const etag = `"a1"`
	for list, want := range map[string]bool{
		`"a1"`:               true,
		`W/"a1"`:             true,
		`*`:                  true,
		` * `:                true,
		`"b", "a1"`:          true,
		`"b",W/"a1" , "c"`:   true,
		`"b,\"",, "a1"`:      false, // a backslash escapes nothing here, so the second tag is no tag
		`"x, y", "a1"`:       true,
		``:                   false,
		`"A1"`:               false,
		`a1`:                 false,
		`"a1`:                false,
		`w/"a1"`:             false,
		`"b", *`:             false,
		`"b" "c"`:            false,
		`nonsense, "a1"`:     false,
		`"b", W/ "a1"`:       false,
		`"a1x"`:              false,
		`"b", "c", W/"d"`:    false,
		`"b", "c", W/"d", ,`: false,
	} {
		if got := matchesETag(list, etag); got != want {
			t.Errorf("%s: got %t", list, got)
		}
	}
}
