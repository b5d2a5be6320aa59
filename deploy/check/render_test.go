// Package check has no code: its tests render what is in deploy/ and compare
// it with the programs. It is a module outside of the workspace, so that the
// modules of Kubernetes and KEDA are no part of what Ragbus is built from.
package check

import (
	"bytes"
	"flag"
	"fmt"
	"testing"

	kedav1alpha1 "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write components/nack/jetstream.yaml from the topology")

// rendered is what an overlay consists of, in its real types.
type rendered struct {
	deployments map[string]appsv1.Deployment
	settings    map[string]map[string]string
	services    map[string]corev1.Service
	accounts    map[string]corev1.ServiceAccount
	budgets     map[string]policyv1.PodDisruptionBudget
	policies    map[string]networkingv1.NetworkPolicy
	scaled      map[string]kedav1alpha1.ScaledObject
	namespaces  map[string]corev1.Namespace
	streams     map[string]stream
	consumers   map[string]consumer
}

// render builds a kustomization and decodes every object strictly: a field
// that its type does not have is an error.
func render(t *testing.T, dir string) rendered {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../k8s/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	r := rendered{
		deployments: map[string]appsv1.Deployment{}, settings: map[string]map[string]string{}, services: map[string]corev1.Service{},
		accounts: map[string]corev1.ServiceAccount{}, budgets: map[string]policyv1.PodDisruptionBudget{},
		policies: map[string]networkingv1.NetworkPolicy{}, scaled: map[string]kedav1alpha1.ScaledObject{},
		namespaces: map[string]corev1.Namespace{}, streams: map[string]stream{}, consumers: map[string]consumer{},
	}
	for _, res := range resources.Resources() {
		text, err := res.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		id := res.GetApiVersion() + " " + res.GetKind()
		if res.GetNamespace() != "ragbus" && res.GetKind() != "Namespace" {
			t.Errorf("%s %s is in the namespace %q", id, res.GetName(), res.GetNamespace())
		}
		if err := r.add(id, res.GetName(), text); err != nil {
			t.Errorf("%s %s: %v", id, res.GetName(), err)
		}
	}
	return r
}

func (r rendered) add(id, name string, text []byte) error {
	switch id {
	case "apps/v1 Deployment":
		return decode(text, name, r.deployments)
	case "v1 Service":
		return decode(text, name, r.services)
	case "v1 ServiceAccount":
		return decode(text, name, r.accounts)
	case "v1 Namespace":
		return decode(text, name, r.namespaces)
	case "policy/v1 PodDisruptionBudget":
		return decode(text, name, r.budgets)
	case "networking.k8s.io/v1 NetworkPolicy":
		return decode(text, name, r.policies)
	case "keda.sh/v1alpha1 ScaledObject":
		return decode(text, name, r.scaled)
	case "jetstream.nats.io/v1beta2 Stream":
		return decode(text, name, r.streams)
	case "jetstream.nats.io/v1beta2 Consumer":
		return decode(text, name, r.consumers)
	case "v1 ConfigMap":
		var c corev1.ConfigMap
		if err := yaml.UnmarshalStrict(text, &c); err != nil {
			return err
		}
		r.settings[name] = c.Data
		return nil
	}
	return fmt.Errorf("nothing is known of its kind: secrets, above all, are made by the installation")
}

func decode[T any](text []byte, name string, into map[string]T) error {
	var v T
	if err := yaml.UnmarshalStrict(text, &v); err != nil {
		return err
	}
	into[name] = v
	return nil
}

// overlays are the kustomizations that can be applied.
func overlays() []string { return []string{"base", "overlays/dev", "overlays/nack"} }

func TestEverythingRendersIntoItsRealType(t *testing.T) {
	t.Parallel()
	for _, dir := range overlays() {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			r := render(t, dir)
			for _, s := range services() {
				name := "ragbus-" + s
				_, deployed := r.deployments[name]
				_, account := r.accounts[name]
				_, budget := r.budgets[name]
				_, policy := r.policies[name]
				if !deployed || !account || !budget || !policy {
					t.Errorf("%s: deployment %t, account %t, budget %t, network policy %t", s, deployed, account, budget, policy)
				}
			}
			if len(r.deployments) != len(services()) || len(r.services) != 1 {
				t.Errorf("%d deployments and %d services", len(r.deployments), len(r.services))
			}
			if ns := r.namespaces["ragbus"]; ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
				t.Errorf("the namespace has labels %v", ns.Labels)
			}
		})
	}
}

func TestDecodingIsStrict(t *testing.T) {
	t.Parallel()
	err := rendered{deployments: map[string]appsv1.Deployment{}}.add("apps/v1 Deployment", "x", []byte("spec:\n  replica: 1\n"))
	if err == nil {
		t.Error("a field that is none is taken")
	}
	if err := (rendered{}).add("v1 Secret", "x", bytes.TrimSpace(nil)); err == nil {
		t.Error("a secret in the manifests is taken")
	}
}

func services() []string { return []string{"gateway", "retriever", "generator", "ingestor"} }
