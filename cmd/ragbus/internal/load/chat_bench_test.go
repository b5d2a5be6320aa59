package load_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/load"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

// warmUp questions go before the clock starts: connections, statements and
// pools are made by the first ones.
const warmUp = 500

// BenchmarkChat is a question from its first byte to its answer's last, over
// HTTP, through all four services, stored. Times are those of the client;
// server-cpu-ms and asker-cpu-ms are processor time for one question of each process.
func BenchmarkChat(b *testing.B) {
	for _, sections := range []int{1000, 10_000} {
		b.Run(fmt.Sprint("chunks=", sections), func(b *testing.B) { benchmarkChat(b, scripted(b), sections) })
	}
}

// BenchmarkBuiltin is [BenchmarkChat] with the parts of a server without a
// key: the built-in embedder and the extractive writer.
func BenchmarkBuiltin(b *testing.B) {
	b.Run("chunks=1000", func(b *testing.B) { benchmarkChat(b, server.Parts{}, 1000) })
}

func benchmarkChat(b *testing.B, parts server.Parts, sections int) {
	b.Helper()
	b.Cleanup(process.TuneMemory(config.Environ(os.Environ()))) // as the program does
	r := serve(b, b.TempDir(), parts)
	r.fill(b, sections)
	asked := 0
	for _, way := range []struct {
		name           string
		clients        int
		stream, search bool
	}{
		{"json/clients=1", 1, false, false},
		{"json/clients=64", 64, false, false},
		{"events/clients=1", 1, true, false},
		{"events/clients=64", 64, true, false},
		{"search/clients=1", 1, false, true},
		{"search/clients=64", 64, false, true},
	} {
		b.Run(way.name, func(b *testing.B) {
			p := r.plan(sections, warmUp, way.clients)
			p.Stream, p.Search = way.stream, way.search
			p.First = asked
			drive(b, p)
			p.First, p.Questions = asked+warmUp, b.N
			asked += warmUp + b.N
			b.ResetTimer()
			cpu := load.ProcessCPU()
			report := drive(b, p)
			// Making the questions is not part of it, and happens in the other process.
			cpu = load.ProcessCPU() - cpu
			b.StopTimer()
			show(b, report, cpu)
		})
	}
}

func drive(b *testing.B, p load.Plan) load.Report {
	b.Helper()
	report, err := load.DriveApart(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	if report.Failed > 0 {
		b.Fatalf("%d of %d questions failed: %s", report.Failed, report.Questions, report.FirstFailure)
	}
	return report
}

func show(b *testing.B, r load.Report, server time.Duration) {
	b.Helper()
	each := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(r.Questions) }
	b.ReportMetric(0, "ns/op") // contains starting the other process
	b.ReportMetric(r.P50.Seconds()*1000, "p50-ms")
	b.ReportMetric(r.P99.Seconds()*1000, "p99-ms")
	b.ReportMetric(r.PerSecond(), "questions/s")
	b.ReportMetric(each(server), "server-cpu-ms")
	b.ReportMetric(each(r.CPU), "asker-cpu-ms")
	b.ReportMetric(float64(r.Bytes)/float64(r.Questions), "body-bytes")
}
