package server

import (
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

func operator(vars config.Vars) Operator { return Operator{Vars: vars, Log: io.Discard} }

func TestTheTopologyIsAppliedAndVerifiedOverTheNetwork(t *testing.T) {
	t.Parallel()
	b := brokertest.StartTCP(t)
	if err := b.Connect().JetStream().DeleteStream(t.Context(), broker.StreamFrames); err != nil {
		t.Fatal(err)
	}
	o := operator(config.Vars{"RAGBUS_NATS_URL": b.URL()})
	if err := o.VerifyTopology(t.Context()); err == nil || !strings.Contains(err.Error(), broker.StreamFrames) {
		t.Errorf("without a stream: %v", err)
	}
	if err := o.ApplyTopology(t.Context()); err != nil {
		t.Error(err)
	}
	if err := o.VerifyTopology(t.Context()); err != nil {
		t.Errorf("after it was applied: %v", err)
	}
}

func TestADatabaseIsMigratedTwice(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		if err := operator(config.Vars{"RAGBUS_DATA_DIR": dir}).Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEmbeddedPartsAreNotOperatedFromOutside(t *testing.T) {
	t.Parallel()
	o := operator(config.Vars{"RAGBUS_DATA_DIR": t.TempDir()})
	err := o.ApplyTopology(t.Context())
	if !process.NeedsOperator(err) || !strings.Contains(err.Error(), "RAGBUS_NATS_URL") {
		t.Errorf("topology: %v", err)
	}
	if _, _, err := o.Reindex(t.Context()); !process.NeedsOperator(err) || !strings.Contains(err.Error(), "RAGBUS_VECTOR_URL") {
		t.Errorf("reindex: %v", err)
	}
	if err := operator(config.Vars{"RAGBUS_TYPO": "1"}).Migrate(t.Context()); !process.NeedsOperator(err) || !strings.Contains(err.Error(), "RAGBUS_TYPO") {
		t.Errorf("migrate: %v", err)
	}
}
