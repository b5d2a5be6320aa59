package broker_test

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ragbus/ragbus/pkg/broker"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/broker/natsserver"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag

func TestTheTopologyIsAContract(t *testing.T) {
	t.Parallel()
	got, err := json.MarshalIndent(broker.NewTopology(broker.TopologyConfig{}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "topology.json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
		t.Errorf("names and settings that clusters hold already have changed (-want +got):\n%s", diff)
	}
}

func TestNoConsumerLetsTheServerGiveUp(t *testing.T) {
	t.Parallel()
	for _, s := range broker.NewTopology(broker.TopologyConfig{}).Streams {
		if s.Retention == jetstream.WorkQueuePolicy && s.Discard != jetstream.DiscardNew {
			t.Errorf("%s would drop accepted work", s.Name)
		}
		if s.MaxBytes <= 0 {
			t.Errorf("%s has no bound", s.Name)
		}
		for _, c := range s.Consumers {
			if c.MaxDeliver != -1 || c.AckPolicy != jetstream.AckExplicitPolicy || len(c.BackOff) > 0 || c.InactiveThreshold != 0 {
				t.Errorf("%s: %+v", c.Durable, c)
			}
		}
	}
}

func TestTenReplicasEnsureAtOnce(t *testing.T) {
	t.Parallel()
	s, err := natsserver.Start(natsserver.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	topology := broker.NewTopology(broker.TopologyConfig{})
	var replicas sync.WaitGroup
	begin := make(chan struct{})
	for range 10 {
		conn, err := broker.Connect(t.Context(), broker.Config{InProcess: s})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.NATS().Close)
		replicas.Go(func() {
			<-begin
			if err := broker.Ensure(t.Context(), conn.JetStream(), topology); err != nil {
				t.Error(err)
			}
			if err := broker.Verify(t.Context(), conn.JetStream(), topology); err != nil {
				t.Error(err)
			}
		})
	}
	close(begin)
	replicas.Wait()
}

func TestEnsureUpdatesAndVerifyListsEveryDifference(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	changed := broker.NewTopology(broker.TopologyConfig{
		ChatMaxMessages: 5000, AckWait: 20 * time.Second, DeadMaxAge: time.Hour, IngestMaxBytes: 1 << 20,
	})
	err := broker.Verify(t.Context(), b.JS, changed)
	if err == nil {
		t.Fatal("no difference seen")
	}
	for _, want := range []string{
		"stream RAG_CHAT: max messages is 65536, should be 5000", "stream RAG_INGEST: max bytes is",
		"stream RAG_DEAD: max age is 720h0m0s, should be 1h0m0s", "consumer retriever of RAG_CHAT: ack wait is 10s, should be 20s",
		"consumer ingestor-embed of RAG_INGEST: ack wait",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
	for range 2 {
		if err := broker.Ensure(t.Context(), b.JS, changed); err != nil {
			t.Fatal(err)
		}
	}
	if err := broker.Verify(t.Context(), b.JS, changed); err != nil {
		t.Error(err)
	}
	if err := b.JS.DeleteStream(t.Context(), broker.StreamDead); err != nil {
		t.Fatal(err)
	}
	if err := b.JS.DeleteConsumer(t.Context(), broker.StreamChat, broker.ConsumerGenerator); err != nil {
		t.Fatal(err)
	}
	err = broker.Verify(t.Context(), b.JS, changed)
	if err == nil || !strings.Contains(err.Error(), "stream RAG_DEAD is missing") ||
		!strings.Contains(err.Error(), "consumer generator of RAG_CHAT is missing") {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotBeChangedInPlaceIsNamed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	err := broker.Ensure(t.Context(), b.JS, broker.NewTopology(broker.TopologyConfig{ChatStorage: broker.File}))
	if err == nil || !strings.Contains(err.Error(), "ensure stream RAG_CHAT: change storage is") {
		t.Errorf("got %v", err)
	}
}

func TestTopologySettings(t *testing.T) {
	t.Parallel()
	if err := (broker.TopologyConfig{}).Validate(); err != nil {
		t.Error(err)
	}
	err := broker.TopologyConfig{
		Replicas: 7, ChatStorage: "disk", AckWait: time.Millisecond, ChatMaxPerTenant: 10, ChatMaxMessages: 5, DeadMaxBytes: -1,
		FramesMaxAge: time.Millisecond, MaxAckPending: -1,
	}.Validate()
	for _, want := range []string{
		"RAGBUS_STREAM_REPLICAS: ", "disk", "RAGBUS_ACK_WAIT: ", "RAGBUS_CHAT_MAX_PER_TENANT: ", "RAGBUS_DEAD_MAX_BYTES: ", "RAGBUS_FRAMES_MAX_AGE: ", "RAGBUS_MAX_ACK_PENDING: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	var s broker.Storage
	if err := s.UnmarshalText([]byte("tape")); err == nil {
		t.Error("tape was accepted")
	}
	if err := s.UnmarshalText([]byte("file")); err != nil || s != broker.File {
		t.Errorf("%q, %v", s, err)
	}
}
