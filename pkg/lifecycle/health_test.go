package lifecycle_test

import (
	"testing"

	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/lifecycle"
)

// Whoever asks over another connection must be answered from the first moment on.
func TestAProcessAnswersForItsHealthAtOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	worker, asker := b.Connect().NATS(), b.Connect().NATS()
	for range 200 {
		stop, err := lifecycle.Respond(t.Context(), worker, "indexer", nil)
		if err != nil {
			t.Fatal(err)
		}
		reports, err := lifecycle.Gather(t.Context(), asker, "indexer")
		if err != nil || len(reports) != 1 {
			t.Fatalf("got %+v, %v", reports, err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}
