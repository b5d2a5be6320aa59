package check

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/ragbus/ragbus/pkg/worker"
)

// standIn stands for a secret, long enough for any of them.
const standIn = "stand-in-of-a-secret-0123456789-0123456789"

// settle is what a process needs after its grace to close what it has open.
const settle = 15 * time.Second

// environment returns the variables of a service, with a stand-in for each secret.
func environment(t *testing.T, r rendered, service string) map[string]string {
	t.Helper()
	c := container(t, r, service)
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		settings, ok := r.settings[from.ConfigMapRef.Name]
		if !ok {
			t.Errorf("%s: there is no ConfigMap %s", service, from.ConfigMapRef.Name)
		}
		for name, value := range settings {
			env[name] = value
		}
	}
	for _, e := range c.Env {
		if _, twice := env[e.Name]; twice {
			t.Errorf("%s: %s is set twice", service, e.Name)
		}
		env[e.Name] = e.Value
		if e.ValueFrom != nil {
			env[e.Name] = standIn
		}
	}
	return env
}

func container(t *testing.T, r rendered, service string) corev1.Container {
	t.Helper()
	for _, c := range r.deployments["ragbus-"+service].Spec.Template.Spec.Containers {
		if c.Name == service {
			return c
		}
	}
	t.Fatalf("%s has no container of its name", service)
	return corev1.Container{}
}

// secrets are the variables that hold one. They come by reference, always.
func secrets() []string {
	return []string{
		"RAGBUS_DATABASE_URL", "RAGBUS_QDRANT_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "COHERE_API_KEY",
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAGBUS_BUS_SECRET",
	}
}

// foreign are the variables that a library or Go's runtime reads.
func foreign() []string { return []string{"GOMEMLIMIT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} }

func TestSecretsComeByReference(t *testing.T) {
	t.Parallel()
	for _, dir := range overlays() {
		r := render(t, dir)
		for _, s := range services() {
			for _, e := range container(t, r, s).Env {
				if secret, byReference := slices.Contains(secrets(), e.Name), e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil; secret != byReference {
					t.Errorf("%s %s: %s is a secret: %t, comes by reference: %t", dir, s, e.Name, secret, byReference)
				}
			}
		}
		for name, settings := range r.settings {
			for _, secret := range secrets() {
				if _, ok := settings[secret]; ok {
					t.Errorf("%s: %s is in the ConfigMap %s", dir, secret, name)
				}
			}
		}
	}
}

// program builds a service as its image does.
func program(t *testing.T, service string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	dir := t.TempDir()
	cmd := exec.CommandContext(ctx, "../../.ci/build-service")
	cmd.Env = append(os.Environ(), "SERVICE="+service, "OUT="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "service")
}

// TestTheProgramsKnowTheirSettings starts each service with the variables of
// its manifest and one that is none: it must complain about that one alone,
// which also means that nothing that it needs is missing.
func TestTheProgramsKnowTheirSettings(t *testing.T) {
	t.Parallel()
	for _, s := range services() {
		t.Run(s, func(t *testing.T) {
			t.Parallel()
			path := program(t, s)
			for _, dir := range overlays() {
				env := environment(t, render(t, dir), s)
				env["RAGBUS_DATABASE_URL"] = "postgres://ragbus:" + standIn + "@db:5432/ragbus"
				complaint := start(t, path, env)
				for _, line := range strings.Split(strings.TrimSpace(complaint), "\n")[1:] {
					if !strings.Contains(line, "RAGBUS_DEPLOYCHECK") {
						t.Errorf("%s: %s", dir, line)
					}
				}
				if !strings.Contains(complaint, "RAGBUS_DEPLOYCHECK") || strings.Contains(complaint, standIn) {
					t.Errorf("%s: it says %q", dir, complaint)
				}
				for name := range env {
					if !strings.HasPrefix(name, "RAGBUS_") && !slices.Contains(foreign(), name) && !slices.Contains(secrets(), name) {
						t.Errorf("%s: nothing reads %s", dir, name)
					}
				}
			}
		})
	}
}

// start runs a service that must refuse its settings, and returns what it says.
func start(t *testing.T, path string, env map[string]string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = []string{"RAGBUS_DEPLOYCHECK=1"}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Fatalf("it ends with %v, not with code 2:\n%s", err, out)
	}
	return string(out)
}

func TestPortsAndProbesAreThoseOfThePrograms(t *testing.T) {
	t.Parallel()
	api, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range overlays() {
		r := render(t, dir)
		for _, s := range services() {
			c := container(t, r, s)
			port := int32(9090)
			if s == "gateway" {
				port = 8080
			}
			named := ports(r.deployments["ragbus-"+s])
			for kind, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
				if probe == nil || probe.HTTPGet == nil {
					t.Errorf("%s %s has no %s probe", dir, s, kind)
					continue
				}
				want := "/livez"
				if kind == "readiness" {
					want = "/readyz"
				}
				if probe.HTTPGet.Path != want || named[probe.HTTPGet.Port.StrVal] != port {
					t.Errorf("%s %s: the %s probe asks %s at %s", dir, s, kind, probe.HTTPGet.Path, probe.HTTPGet.Port.String())
				}
				// The document of the API is compared with the gateway's routes by the gateway's tests.
				if s == "gateway" && !strings.Contains(string(api), "\n  "+want+":") {
					t.Errorf("the gateway has no route %s", want)
				}
			}
		}
		service := r.services["ragbus-gateway"]
		if target := service.Spec.Ports[0].TargetPort.StrVal; ports(r.deployments["ragbus-gateway"])[target] != 8080 {
			t.Errorf("%s: the Service leads to %s", dir, target)
		}
		if !matches(service.Spec.Selector, r.deployments["ragbus-gateway"].Spec.Template.Labels) {
			t.Errorf("%s: the Service selects nothing", dir)
		}
	}
}

func ports(d appsv1.Deployment) map[string]int32 {
	named := map[string]int32{}
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, p := range c.Ports {
			named[p.Name] = p.ContainerPort
		}
	}
	return named
}

func matches(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return len(selector) > 0
}

// TestThereIsTimeToStop derives how long a pod may take from what its handlers may take.
func TestThereIsTimeToStop(t *testing.T) {
	t.Parallel()
	duration := func(t *testing.T, text string) time.Duration {
		t.Helper()
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, dir := range overlays() {
		r := render(t, dir)
		for _, s := range services() {
			env := environment(t, r, s)
			want := worker.Config{}.WithDefaults().Grace
			if grace, set := env["RAGBUS_GRACE"]; set {
				want = duration(t, grace)
			}
			switch s {
			case "gateway":
				want = duration(t, env["RAGBUS_SHUTDOWN_DELAY"]) + duration(t, env["RAGBUS_SHUTDOWN_GRACE"])
			case "generator":
				if want < duration(t, env["RAGBUS_GENERATOR_TIMEOUT"]) {
					t.Errorf("%s: an answer may take longer than the grace of %s", dir, want)
				}
			}
			pod := r.deployments["ragbus-"+s].Spec.Template.Spec
			if got := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; got != want+settle {
				t.Errorf("%s %s: the pod has %s to stop, want %s and %s", dir, s, got, want, settle)
			}
		}
	}
}

func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	for _, dir := range overlays() {
		for name, d := range render(t, dir).deployments {
			pod := d.Spec.Template.Spec
			if sc := pod.SecurityContext; sc == nil || !*sc.RunAsNonRoot || *sc.RunAsUser == 0 || sc.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				t.Errorf("%s %s: the pod may be root", dir, name)
			}
			if *pod.AutomountServiceAccountToken || pod.ServiceAccountName != name {
				t.Errorf("%s %s: account %s", dir, name, pod.ServiceAccountName)
			}
			for _, c := range pod.Containers {
				sc := c.SecurityContext
				if sc == nil || *sc.AllowPrivilegeEscalation || !*sc.ReadOnlyRootFilesystem || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) {
					t.Errorf("%s %s %s: not restricted", dir, name, c.Name)
				}
				if _, tag, ok := strings.Cut(filepath.Base(c.Image), ":"); !ok || tag == "latest" || tag == "" {
					t.Errorf("%s %s: the image %s has no version", dir, name, c.Image)
				}
				if c.Resources.Limits.Memory().Cmp(*c.Resources.Requests.Memory()) != 0 || c.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s %s %s: resources %v", dir, name, c.Name, c.Resources)
				}
			}
		}
	}
}
