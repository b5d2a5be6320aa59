package deadletter

import "testing"

// CheckReading checks what strangers' ids and cursors are read as.
func CheckReading(t *testing.T, s string) {
	t.Helper()
	if sequence, ok := parseID(s); ok != (ok && sequence > 0) {
		t.Errorf("the id %q is %d", s, sequence)
	}
	c, err := parseCursor(s)
	if err == nil && s != "" && c.String() != s {
		t.Errorf("the cursor %q is %+v", s, c)
	}
	if err != nil && c != (cursor{}) {
		t.Errorf("the cursor %q is refused and %+v", s, c)
	}
}
