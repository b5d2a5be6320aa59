package admission_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ragbus/ragbus/pkg/admission"
	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/catalog"
)

// away is a record that does not answer.
type away struct{ catalog.Line }

func (away) Lengths(context.Context) ([]catalog.LineLength, error) {
	return nil, errors.New("the database is away")
}

func TestWhatWaitsIsShown(t *testing.T) {
	t.Parallel()
	h := open(t, broker.TopologyConfig{})
	for _, tenant := range []string{"a", "b"} {
		check(t, h.store.Wait(t.Context(), catalog.Turn{Tenant: tenant, ID: "d", Step: catalog.Extract, Number: 1}))
	}
	first, err := h.store.Waiting(t.Context(), "a", catalog.Extract, 1)
	check(t, err)
	now := first[0].Since.Add(90 * time.Second)
	c := admission.NewCollector(t.Context(), h.store, func() time.Time { return now })
	want := func(extract, oldest string) {
		t.Helper()
		check(t, testutil.CollectAndCompare(c, strings.NewReader(`
# HELP ragbus_ingest_line_oldest_seconds For how long the one of them has waited that waits longest.
# TYPE ragbus_ingest_line_oldest_seconds gauge
ragbus_ingest_line_oldest_seconds{step="describe"} 0
ragbus_ingest_line_oldest_seconds{step="embed"} 0
ragbus_ingest_line_oldest_seconds{step="extract"} `+oldest+`
ragbus_ingest_line_oldest_seconds{step="remove"} 0
# HELP ragbus_ingest_line_waiting Documents that are accepted and wait for their tenant's turn in the ingestion queue.
# TYPE ragbus_ingest_line_waiting gauge
ragbus_ingest_line_waiting{step="describe"} 0
ragbus_ingest_line_waiting{step="embed"} 0
ragbus_ingest_line_waiting{step="extract"} `+extract+`
ragbus_ingest_line_waiting{step="remove"} 0
`)))
	}
	want("2", "90")
	for _, tenant := range []string{"a", "b"} {
		turns, err := h.store.Waiting(t.Context(), tenant, catalog.Extract, 10)
		check(t, err)
		check(t, h.store.GivenOut(t.Context(), turns))
	}
	now = now.Add(time.Second)
	want("2", "91") // counting is not done with every scrape
	now = now.Add(10 * time.Second)
	want("0", "0")
	if n := testutil.CollectAndCount(admission.NewCollector(t.Context(), away{}, nil)); n != 0 {
		t.Errorf("%d metrics of a record that does not answer", n)
	}
}
