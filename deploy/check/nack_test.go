package check

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"sigs.k8s.io/yaml"

	"github.com/ragbus/ragbus/pkg/broker"
)

// The types of NACK's resources (jetstream.nats.io/v1beta2), as far as they
// are used. NACK's own module is on no registry that this is built from.
type (
	meta struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace,omitempty"`
		Labels    map[string]string `json:"labels,omitempty"`
	}
	stream struct {
		APIVersion string     `json:"apiVersion"`
		Kind       string     `json:"kind"`
		Metadata   meta       `json:"metadata"`
		Spec       streamSpec `json:"spec"`
	}
	streamSpec struct {
		Name              string   `json:"name"`
		Description       string   `json:"description,omitempty"`
		Subjects          []string `json:"subjects"`
		Retention         string   `json:"retention"`
		Storage           string   `json:"storage"`
		Replicas          int      `json:"replicas"`
		Discard           string   `json:"discard"`
		DiscardPerSubject bool     `json:"discardPerSubject,omitempty"`
		MaxMsgs           int64    `json:"maxMsgs,omitempty"`
		MaxMsgsPerSubject int64    `json:"maxMsgsPerSubject,omitempty"`
		MaxBytes          int64    `json:"maxBytes,omitempty"`
		MaxAge            string   `json:"maxAge,omitempty"`
		DuplicateWindow   string   `json:"duplicateWindow,omitempty"`
		AllowMsgTTL       bool     `json:"allowMsgTtl,omitempty"`
		NoAck             bool     `json:"noAck,omitempty"`
		AllowRollup       bool     `json:"allowRollup,omitempty"`
		DenyDelete        bool     `json:"denyDelete,omitempty"`
		AllowDirect       bool     `json:"allowDirect,omitempty"`
		PreventUpdate     bool     `json:"preventUpdate,omitempty"`
	}
	consumer struct {
		APIVersion string       `json:"apiVersion"`
		Kind       string       `json:"kind"`
		Metadata   meta         `json:"metadata"`
		Spec       consumerSpec `json:"spec"`
	}
	consumerSpec struct {
		StreamName     string   `json:"streamName"`
		DurableName    string   `json:"durableName"`
		DeliverPolicy  string   `json:"deliverPolicy"`
		AckPolicy      string   `json:"ackPolicy"`
		AckWait        string   `json:"ackWait"`
		MaxDeliver     int      `json:"maxDeliver"`
		MaxAckPending  int      `json:"maxAckPending"`
		FilterSubject  string   `json:"filterSubject,omitempty"`
		FilterSubjects []string `json:"filterSubjects,omitempty"`
	}
)

// topology is that of the manifests: the defaults, on three servers.
func topology() broker.Topology { return broker.NewTopology(broker.TopologyConfig{Replicas: 3}) }

func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func resources(topology broker.Topology) (streams []stream, consumers []consumer) {
	for _, s := range topology.Streams {
		streams = append(streams, stream{
			APIVersion: "jetstream.nats.io/v1beta2", Kind: "Stream", Metadata: meta{Name: dns(s.Name)},
			Spec: streamSpec{
				Name: s.Name, Description: s.Description, Subjects: s.Subjects, Retention: retention(s.Retention), Storage: storage(s.Storage),
				Replicas: s.Replicas, Discard: discard(s.Discard), DiscardPerSubject: s.DiscardNewPerSubject, MaxMsgs: s.MaxMsgs,
				MaxMsgsPerSubject: s.MaxMsgsPerSubject, MaxBytes: s.MaxBytes, MaxAge: duration(s.MaxAge),
				DuplicateWindow: duration(s.Duplicates), AllowMsgTTL: s.AllowMsgTTL, NoAck: s.NoAck,
				AllowRollup: s.AllowRollup, DenyDelete: s.DenyDelete, AllowDirect: s.AllowDirect,
			},
		})
		for _, c := range s.Consumers {
			consumers = append(consumers, consumer{
				APIVersion: "jetstream.nats.io/v1beta2", Kind: "Consumer", Metadata: meta{Name: c.Durable},
				Spec: consumerSpec{
					StreamName: s.Name, DurableName: c.Durable, DeliverPolicy: "all", AckPolicy: "explicit", AckWait: duration(c.AckWait),
					MaxDeliver: c.MaxDeliver, MaxAckPending: c.MaxAckPending, FilterSubject: c.FilterSubject, FilterSubjects: c.FilterSubjects,
				},
			})
		}
	}
	return streams, consumers
}

// dns makes the name of a stream one of Kubernetes.
func dns(name string) string {
	out := []byte(name)
	for i, c := range out {
		switch {
		case c == '_':
			out[i] = '-'
		case c >= 'A' && c <= 'Z':
			out[i] = c - 'A' + 'a'
		}
	}
	return string(out)
}

func retention(p jetstream.RetentionPolicy) string {
	return map[jetstream.RetentionPolicy]string{jetstream.LimitsPolicy: "limits", jetstream.WorkQueuePolicy: "workqueue", jetstream.InterestPolicy: "interest"}[p]
}

func storage(s jetstream.StorageType) string {
	return map[jetstream.StorageType]string{jetstream.FileStorage: "file", jetstream.MemoryStorage: "memory"}[s]
}

func discard(d jetstream.DiscardPolicy) string {
	return map[jetstream.DiscardPolicy]string{jetstream.DiscardOld: "old", jetstream.DiscardNew: "new"}[d]
}

const nackFile = "../k8s/components/nack/jetstream.yaml"

func TestNACKHasTheTopology(t *testing.T) { //nolint:paralleltest // -update writes what others render
	streams, consumers := resources(topology())
	if *update {
		text := []byte("# Written from pkg/broker/topology.go; see kustomization.yaml.\n")
		for _, s := range streams {
			text = appendYAML(t, text, s)
		}
		for _, c := range consumers {
			text = appendYAML(t, text, c)
		}
		if err := os.WriteFile(nackFile, text, 0o644); err != nil { //nolint:gosec // it is a file of the repository
			t.Fatal(err)
		}
	}
	r := render(t, "overlays/nack")
	wantStreams, wantConsumers := map[string]streamSpec{}, map[string]consumerSpec{}
	for _, s := range streams {
		wantStreams[s.Metadata.Name] = s.Spec
	}
	for _, c := range consumers {
		wantConsumers[c.Metadata.Name] = c.Spec
	}
	gotStreams, gotConsumers := map[string]streamSpec{}, map[string]consumerSpec{}
	for name, s := range r.streams {
		gotStreams[name] = s.Spec
	}
	for name, c := range r.consumers {
		gotConsumers[name] = c.Spec
	}
	if diff := cmp.Diff(wantStreams, gotStreams); diff != "" {
		t.Errorf("streams (-topology +manifest), write them with -update:\n%s", diff)
	}
	if diff := cmp.Diff(wantConsumers, gotConsumers); diff != "" {
		t.Errorf("consumers (-topology +manifest), write them with -update:\n%s", diff)
	}
	settings := environment(t, r, "gateway")
	if settings["RAGBUS_TOPOLOGY_MODE"] != "verify" {
		t.Error("with NACK as the owner, the services must not change streams")
	}
}

func appendYAML(t *testing.T, text []byte, v any) []byte {
	t.Helper()
	out, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(text, "---\n"...), out...)
}
