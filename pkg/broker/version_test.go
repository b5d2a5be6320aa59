package broker

import "testing"

func TestOlder(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{
		"2.12.2": true, "2.9.25": true, "1.99.99": true, "2.12.3": false, "2.15.2": false, "3.0.0": false,
		"2.12.2-RC.1": true, "2.12.3-dev": false, "": false, "weekly": false, "2.12": false,
	} {
		if got := older(version, oldestSound); got != want {
			t.Errorf("older(%q) = %v", version, got)
		}
	}
}
