package load_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/load"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/minilm"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
)

const mebibyte = 1 << 20

// build makes the program as `make build` does and returns its path.
func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "ragbus")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-tags", "disable_grpc_modules,grpcnotrace", "-ldflags", "-s -w", "-o", path, "../..")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// program is the built program, serving.
type program struct {
	*client.Client
	cmd  *exec.Cmd
	addr string
	// ready is how long it took from its start to the first 200 of /readyz.
	ready time.Duration
}

// start runs `ragbus serve` and waits until it is ready.
func start(b *testing.B, path, dir string) *program {
	b.Helper()
	p := &program{addr: freeAddr(b)}
	p.cmd = exec.CommandContext(b.Context(), path, "serve")
	p.cmd.Env = []string{"RAGBUS_DATA_DIR=" + dir, "RAGBUS_HTTP_ADDR=" + p.addr, "RAGBUS_LOG_LEVEL=warn", "PATH=" + os.TempDir()}
	var said bytes.Buffer
	p.cmd.Stdout, p.cmd.Stderr = io.Discard, &said
	c, err := client.New("http://" + p.addr)
	if err != nil {
		b.Fatal(err)
	}
	p.Client = c
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.stop(b) })
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := answers(ctx, c); err != nil {
		b.Fatalf("%v\n%s", err, said.String())
	}
	p.ready = time.Since(began)
	return p
}

// answers asks every millisecond whether the server is ready.
func answers(ctx context.Context, c *client.Client) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		err := c.Do(ctx, http.MethodGet, "/readyz", nil, nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

func freeAddr(b *testing.B) string {
	b.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *program) stop(b *testing.B) {
	b.Helper()
	if p.cmd == nil {
		return
	}
	cmd := p.cmd
	p.cmd = nil
	p.Close()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Error(err)
	}
}

func (p *program) memory(b *testing.B) float64 {
	b.Helper()
	size, err := load.ResidentMemory(p.cmd.Process.Pid)
	if err != nil {
		b.Fatal(err)
	}
	return float64(size) / mebibyte
}

// posing makes vectors like the scripted embedder and says that they are of
// another: a library for the built program, without an hour of embedding.
type posing struct {
	embed.Embedder
	as embed.Profile
}

func (p posing) Profile() embed.Profile { return p.as }

// stocked makes a data directory with a library that the built program takes for its own.
func stocked(b *testing.B, sections int) string {
	b.Helper()
	builtin, err := minilm.New(minilm.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer builtin.Close()
	scripted, err := scriptembed.New(scriptembed.Config{Dimensions: builtin.Profile().Dimensions})
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	b.Run("fill", func(b *testing.B) { // its end stops the server
		serve(b, dir, server.Parts{Embedder: posing{scripted, builtin.Profile()}}).fill(b, sections)
		b.ReportMetric(0, "ns/op")
	})
	return dir
}

// BenchmarkProgram measures the built program: its size, from exec to the
// first 200 of /readyz, and its memory before and after questions.
func BenchmarkProgram(b *testing.B) {
	path := build(b)
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	const questions = 100
	for _, sections := range []int{0, 10_000} {
		b.Run(fmt.Sprint("chunks=", sections), func(b *testing.B) {
			var dir string
			if sections > 0 {
				dir = stocked(b, sections)
			}
			b.Run("start", func(b *testing.B) {
				var took time.Duration
				for range b.N {
					at := dir
					if sections == 0 {
						at = b.TempDir()
					}
					p := start(b, path, at)
					took += p.ready
					b.ReportMetric(p.memory(b), "idle-MiB")
					if sections > 0 {
						report, err := load.Drive(b.Context(), load.Plan{Addr: p.addr, Seed: seed, Sections: sections, Questions: questions, Clients: 4})
						// Some are not answered: the library's vectors are not the program's.
						if err != nil || report.Failed > questions/2 {
							b.Fatalf("%v, %d failed: %s", err, report.Failed, report.FirstFailure)
						}
						b.ReportMetric(p.memory(b), "asked-MiB")
					}
					p.stop(b)
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ready-ms")
				b.ReportMetric(float64(info.Size())/1e6, "program-MB")
			})
		})
	}
}

// BenchmarkIngestMarkdown is Markdown from its upload to its index, with the
// built-in embedder, which is nearly all of it.
func BenchmarkIngestMarkdown(b *testing.B) {
	r := serve(b, b.TempDir(), server.Parts{})
	library := load.NewLibrary(seed, 50*b.N)
	cpu, began := load.ProcessCPU()+load.ChildrenCPU(), time.Now()
	chunks, err := load.Fill(b.Context(), r.Client, library)
	if err != nil {
		b.Fatal(err)
	}
	took, spent := time.Since(began), load.ProcessCPU()+load.ChildrenCPU()-cpu
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(chunks)/spent.Seconds(), "chunks/cpu-s")
	b.ReportMetric(float64(chunks)/took.Seconds(), "chunks/s")
}

func pdfFile(data []byte) client.File {
	return client.File{Name: "long.pdf", Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
}

// BenchmarkLongPDF ingests a report of 1,500 pages with the built program and
// watches the memory of its processes.
func BenchmarkLongPDF(b *testing.B) {
	const pages = 1500
	path := build(b)
	data := load.NewLibrary(seed, 2*pages).PDF(pages)
	for range b.N {
		p := start(b, path, b.TempDir())
		watching, stop := context.WithCancel(b.Context())
		peak := make(chan int64, 1)
		go func() {
			size, err := load.PeakTreeMemory(watching, p.cmd.Process.Pid, 20*time.Millisecond)
			if err != nil {
				b.Error(err)
			}
			peak <- size
		}()
		began := time.Now()
		doc, _, err := p.Upload(b.Context(), pdfFile(data))
		if err == nil {
			doc, err = load.Indexed(b.Context(), p.Client, doc)
		}
		took := time.Since(began)
		stop()
		most := <-peak
		if err != nil {
			b.Fatal(err)
		}
		if doc.Pages == nil || *doc.Pages != pages || len(doc.Warnings) > 0 {
			b.Fatalf("pages %v, warnings %s", doc.Pages, strings.Join(doc.Warnings, "; "))
		}
		b.ReportMetric(float64(most)/mebibyte, "peak-tree-MiB")
		b.ReportMetric(float64(doc.Progress.Chunks), "chunks")
		b.ReportMetric(took.Seconds(), "s")
		b.ReportMetric(pages/took.Seconds(), "pages/s")
		p.stop(b)
	}
	b.ReportMetric(0, "ns/op")
}
