package e2e

import "testing"

// TestTwoReplicasOfEachService is the suite of one process, over many.
func TestTwoReplicasOfEachService(t *testing.T) {
	t.Parallel()
	r := startReplicas(t)
	Suite(t, r)
	r.obeyed(t)
}
