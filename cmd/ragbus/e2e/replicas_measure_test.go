package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	loading "github.com/ragbus/ragbus/cmd/ragbus/internal/load"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/broker"
)

// measureVariable asks for figures instead of a verdict: docs/performance.md
// has them. `make e2e-measure` sets it.
const measureVariable = "RAGBUS_E2E_MEASURE"

// TestReplicasAreMeasured prints how fast two replicas of each service answer
// over parts of their own processes. It fails only when answers are wrong.
func TestReplicasAreMeasured(t *testing.T) {
	if os.Getenv(measureVariable) == "" {
		t.Skipf("this prints figures of a quiet machine: run `make e2e-measure`, which sets %s", measureVariable)
	}
	r := startReplicas(t, "model")
	const sections, seed = 1000, 7
	c, err := client.New(r.URLs()[0])
	must(t, err)
	defer c.Close()
	library := loading.NewLibrary(seed, sections)
	r.measureIngestion(t, c, "no latency", library)
	pace(t, r.embedder, `{"latency_ms":50}`)
	r.measureIngestion(t, c, "50 ms a batch", loading.NewLibrary(seed+1, 5*sections))
	pace(t, r.embedder, `{}`)

	asked := 0
	for _, way := range []struct {
		name      string
		behaviour string
		clients   int
		questions int
		stream    bool
	}{
		{"no latency, 1 client", `{}`, 1, 300, false},
		{"no latency, 16 clients", `{}`, 16, 1500, false},
		{"no latency, 256 clients", `{}`, 256, 2000, false},
		{"300 ms, 16 clients", `{"first_token_ms":300}`, 16, 400, false},
		{"300 ms, 256 clients", `{"first_token_ms":300}`, 256, 1500, false},
		{"300 ms and 60 tokens in 600 ms, 256 streams", `{"first_token_ms":300,"tokens_per_second":100,"tokens":60}`, 256, 1000, true},
	} {
		pace(t, r.model, way.behaviour)
		drive := func(questions int) loading.Report {
			report, err := loading.Drive(t.Context(), loading.Plan{
				Addr: strings.TrimPrefix(r.URLs()[asked%2], "http://"), Seed: seed, Sections: sections, First: asked,
				Questions: questions, Clients: way.clients, Stream: way.stream,
			})
			must(t, err)
			asked += questions + 1
			return report
		}
		drive(max(100, way.clients)) // connections and statements are made by the first ones
		before := r.processorTime(t)
		report := drive(way.questions)
		after := r.processorTime(t)
		var spent []string
		total := time.Duration(0)
		for _, name := range append(stack.Services(), partNames()...) {
			used := after[name] - before[name]
			if slices.Contains(stack.Services(), name) {
				total += used
			}
			spent = append(spent, fmt.Sprintf("%s %.2f", name, used.Seconds()*1000/float64(way.questions)))
		}
		fmt.Printf("%-45s %5.0f/s p50 %4.0f ms p99 %4.0f ms first %4.0f ms p99 %4.0f ms, CPU ms a question: %.2f (%s), failed %d %s\n", way.name, report.PerSecond(),
			report.P50.Seconds()*1000, report.P99.Seconds()*1000, report.First.Seconds()*1000, report.FirstP99.Seconds()*1000, total.Seconds()*1000/float64(way.questions),
			strings.Join(spent, ", "), report.Failed, report.FirstFailure)
		if report.Failed > 0 {
			t.Errorf("%s: %d of %d questions failed: %s", way.name, report.Failed, report.Questions, report.FirstFailure)
		}
	}
}

// measureIngestion prints how fast a library is ingested, and the most memory
// that an ingestor ever had.
func (r *replicas) measureIngestion(t *testing.T, c *client.Client, how string, l *loading.Library) {
	t.Helper()
	began := time.Now()
	chunks, err := loading.Fill(t.Context(), c, l)
	must(t, err)
	took := time.Since(began)
	most := 0
	for _, replica := range r.services[broker.AccessIngestor] {
		most = max(most, replica.peakMiB(t))
	}
	fmt.Printf("ingested %d chunks of %d documents, 8 at a time, %s: %.0f chunks/s, an ingestor's peak %d MiB\n",
		chunks, l.Documents(), how, float64(chunks)/took.Seconds(), most)
}

// peakMiB is the most memory that a process ever had (VmHWM of /proc).
func (c *child) peakMiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.PID()))
	must(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	must(t, err)
	return kilobytes >> 10
}

// partNames are the parts whose processor time is told; Postgres is many processes.
func partNames() []string {
	return []string{"nats-server", "qdrant-standin", "modelserver", "embedserver"}
}

// processorTime returns what each service's replicas have used together, and
// each part. Postgres is not told.
func (r *replicas) processorTime(t *testing.T) map[string]time.Duration {
	t.Helper()
	used := map[string]time.Duration{}
	for service, copies := range r.services {
		for _, c := range copies {
			used[service] += c.processorTime(t)
		}
	}
	for _, c := range []*child{r.nats, r.qdrant, r.model, r.embedder} {
		used[c.Name] = c.processorTime(t)
	}
	return used
}

// processorTime reads what a process has used from /proc (proc_pid_stat(5):
// fields 14 and 15, in ticks of 10 ms).
func (c *child) processorTime(t *testing.T) time.Duration {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.PID()))
	must(t, err)
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		must(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
