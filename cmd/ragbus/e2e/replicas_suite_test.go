package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/reconcile"
)

// TestTwoReplicasOfEachService is the suite of one process, over many.
func TestTwoReplicasOfEachService(t *testing.T) {
	t.Parallel()
	r := startReplicas(t)
	Suite(t, r)
	r.compared(t)
	r.obeyed(t)
}

// compared has an ingestor's program compare all stores, beside the services,
// as an operator would.
func (r *replicas) compared(t *testing.T) {
	t.Helper()
	vars := append(r.settings(broker.AccessIngestor), "RAGBUS_NATS_URL", r.natsURL(stack.AdminName), "RAGBUS_LOG_LEVEL", "error")
	out, errs, code := execute(t, tool(t, broker.AccessIngestor), r.dir, []string{"verify", "--json"}, vars...)
	var report reconcile.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || len(report.Differences) > 0 || len(report.Notes) > 0 ||
		report.Documents == 0 || report.Points == 0 || report.Blobs == 0 {
		t.Errorf("ingestor verify: exit code %d, %v\n%s\n%s", code, err, out, errs)
	}
	for _, args := range [][]string{{"verify", "--mend"}, {"compare"}} {
		if out, errs, code := execute(t, tool(t, broker.AccessIngestor), r.dir, args, vars...); code != 2 || out != "" || !strings.Contains(errs, "--repair") {
			t.Errorf("ingestor %v: exit code %d\n%s\n%s", args, code, out, errs)
		}
	}
	own := append(r.settings(broker.AccessIngestor), "RAGBUS_LOG_LEVEL", "error")
	if out, errs, code := execute(t, tool(t, broker.AccessIngestor), r.dir, []string{"verify"}, own...); code != 2 || out != "" || !strings.Contains(errs, "RAGBUS_NATS_URL") {
		t.Errorf("with the service's own user: exit code %d\n%s\n%s", code, out, errs)
	}
}
