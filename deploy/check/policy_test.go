package check

import (
	"strconv"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ragbus/ragbus/pkg/broker"
)

func TestBudgetsAndPoliciesSelectTheirPods(t *testing.T) {
	t.Parallel()
	for _, dir := range overlays() {
		r := render(t, dir)
		for _, s := range services() {
			name := "ragbus-" + s
			labels := r.deployments[name].Spec.Template.Labels
			selectors := map[string]*v1.LabelSelector{
				"deployment": r.deployments[name].Spec.Selector, "budget": r.budgets[name].Spec.Selector,
			}
			policy := r.policies[name].Spec.PodSelector
			selectors["policy"] = &policy
			for kind, selector := range selectors {
				if !matches(selector.MatchLabels, labels) || selector.MatchLabels["app.kubernetes.io/component"] != s {
					t.Errorf("%s %s: the %s selects %v", dir, s, kind, selector.MatchLabels)
				}
			}
			if n := len(r.policies[name].Spec.PolicyTypes); n != 2 {
				t.Errorf("%s %s: the policy has %d directions", dir, s, n)
			}
		}
		if deny := r.policies["ragbus-default-deny"].Spec; len(deny.PolicyTypes) != 2 || len(deny.Ingress)+len(deny.Egress) != 0 {
			t.Errorf("%s: the default is %+v", dir, deny)
		}
	}
}

// TestEachWorkerIsScaledByItsOwnConsumers compares KEDA's triggers with the topology.
func TestEachWorkerIsScaledByItsOwnConsumers(t *testing.T) {
	t.Parallel()
	owner := map[string]string{
		broker.ConsumerRetriever: "retriever", broker.ConsumerGenerator: "generator",
		broker.ConsumerIngestorExtract: "ingestor", broker.ConsumerIngestorEmbed: "ingestor",
	}
	for _, dir := range []string{"overlays/dev", "overlays/nack"} {
		r := render(t, dir)
		for _, s := range topology().Streams {
			for _, c := range s.Consumers {
				if c.Durable == broker.ConsumerForsaken {
					continue // a handful of notices a day: whoever runs anyway reads them
				}
				o := r.scaled["ragbus-"+owner[c.Durable]]
				found := false
				for _, trigger := range o.Spec.Triggers {
					m := trigger.Metadata
					if m["consumer"] != c.Durable {
						continue
					}
					found = trigger.Type == "nats-jetstream" && m["stream"] == s.Name
					lag, err := strconv.Atoi(m["lagThreshold"])
					if err != nil || lag < 1 {
						t.Errorf("%s: %s scales at a lag of %q", dir, c.Durable, m["lagThreshold"])
					}
					// More deliveries at once than the broker allows would leave pods idle.
					if int(*o.Spec.MaxReplicaCount)*2*lag > c.MaxAckPending {
						t.Errorf("%s: %s has %d replicas for %d deliveries at once", dir, c.Durable, *o.Spec.MaxReplicaCount, c.MaxAckPending)
					}
				}
				if !found {
					t.Errorf("%s: nothing scales on %s of %s", dir, c.Durable, s.Name)
				}
			}
		}
		for name, o := range r.scaled {
			d, ok := r.deployments[o.Spec.ScaleTargetRef.Name]
			if !ok || o.Spec.ScaleTargetRef.Name != name || d.Spec.Replicas != nil {
				t.Errorf("%s: %s scales %s, which has replicas of its own: %t", dir, name, o.Spec.ScaleTargetRef.Name, d.Spec.Replicas != nil)
			}
			if err := o.Spec.Fallback; err == nil {
				t.Errorf("%s: %s has no fallback", dir, name)
			}
		}
		if len(r.scaled) != 3 {
			t.Errorf("%s: %d deployments are scaled", dir, len(r.scaled))
		}
	}
}
