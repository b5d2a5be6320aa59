package deadletter

import (
	"slices"
	"testing"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/event"
)

func TestStagesAreTheTopologys(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, s := range broker.NewTopology(broker.TopologyConfig{}).Streams {
		for _, c := range s.Consumers {
			if c.Durable == broker.ConsumerForsaken {
				continue
			}
			have[c.Durable] = true
			for _, k := range event.Kinds() {
				filter := event.SubjectFilter(k)
				if takes := c.FilterSubject == filter || slices.Contains(c.FilterSubjects, filter); takes != (stageOf(k) == c.Durable) {
					t.Errorf("%s takes %s: %t", c.Durable, k, takes)
				}
			}
		}
	}
	for _, k := range event.Kinds() {
		if (stageOf(k) != "") != slices.Contains(working(), k) {
			t.Errorf("%s is work or not", k)
		}
	}
	for _, stage := range Stages() {
		if !have[stage] {
			t.Errorf("the topology has no %s", stage)
		}
	}
	if len(have) != len(Stages()) {
		t.Errorf("the topology has %v", have)
	}
}

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
