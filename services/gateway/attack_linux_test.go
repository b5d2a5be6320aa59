package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
	"github.com/ragbus/ragbus/pkg/blob"
	"github.com/ragbus/ragbus/pkg/broker/brokertest"
	"github.com/ragbus/ragbus/pkg/sqldb/postgrestest"
)

const (
	// maxResident is what a gateway may ever have had of the machine's memory, with
	// 2,000 streams open that nobody reads, connections that stall, and ten
	// thousand hostile requests behind it.
	maxResident = 256 << 20
	// memoryLimit is GOMEMLIMIT as deploy/ sets it for a gateway.
	memoryLimit = "200MiB"
	// stalled is how many connections stall at a time.
	stalled = 500
)

// TestAGatewayUnderAttackStaysSmall attacks a gateway as it ships, a process
// of its own, and looks at what the system says of it. Beside the memory it
// holds that a hostile request costs the gateway no more processor time than
// twice a harmless one: that is what others would wait for, and unlike their
// times it is the same on a busy machine. BenchmarkAttack reports the times.
func TestAGatewayUnderAttackStaysSmall(t *testing.T) {
	t.Parallel()
	a := newAttack(t, 2000)
	requests := 10_000
	if testing.Short() {
		a.idle, requests = 200, 1000
	}
	var usual window
	usual.add(a.usual(requests / 10))
	hostile := a.hostile(requests)
	usual.add(a.usual(requests / 10))
	a.over()
	resident := a.resident("VmHWM")
	costs, usually := hostile.cpu/time.Duration(hostile.requests), usual.cpu/time.Duration(usual.requests)
	if resident > maxResident {
		t.Errorf("the gateway had %d MiB", resident>>20)
	}
	if costs > 2*usually {
		t.Errorf("a hostile request costs the gateway %s, a harmless one %s", costs, usually)
	}
	if hostile.refused < hostile.requests/4 {
		t.Errorf("the attack was none: %d of %d were refused", hostile.refused, hostile.requests)
	}
	t.Logf("at most %d MiB, now %d; %s a hostile request, %s a harmless one; beside them p99 %s and %s of %d and %d",
		resident>>20, a.resident("VmRSS")>>20, costs, usually, p99(hostile.beside), p99(usual.beside), len(hostile.beside), len(usual.beside))
}

// BenchmarkAttack measures how much longer others wait for their answers while
// the gateway is attacked than while as many clients send it what they may:
// each iteration is a window of the one and then of the other. p99-ratio is of
// the good client's times in all windows together.
func BenchmarkAttack(b *testing.B) {
	a := newAttack(b, 2000)
	var usual, hostile window
	b.ResetTimer()
	for range b.N {
		usual.add(a.usual(2500))
		hostile.add(a.hostile(2500))
	}
	b.StopTimer()
	a.over()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(p99(usual.beside)), "usual-p99-ms")
	b.ReportMetric(milliseconds(p99(hostile.beside)), "attacked-p99-ms")
	b.ReportMetric(float64(p99(hostile.beside))/float64(p99(usual.beside)), "p99-ratio")
	b.ReportMetric(float64(hostile.cpu)/float64(hostile.requests)/(float64(usual.cpu)/float64(usual.requests)), "cpu-ratio")
	b.ReportMetric(float64(a.resident("VmHWM")>>20), "peak-MiB")
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// p99 returns the time that 99 of 100 do not exceed, 0 of none.
func p99(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	times = slices.Sorted(slices.Values(times))
	return times[min(len(times)-1, len(times)*99/100)]
}

// window is what came of a time in which one kind of request was sent.
type window struct {
	requests, refused int
	// cpu is the gateway's processor time.
	cpu time.Duration
	// beside are the times in which the good client got its answers.
	beside []time.Duration
}

func (w *window) add(more window) {
	w.requests += more.requests
	w.refused += more.refused
	w.cpu += more.cpu
	w.beside = append(w.beside, more.beside...)
}

// attack is a gateway in a process of its own and those who attack it in this one.
type attack struct {
	*server
	t    testing.TB
	s    *stack
	pid  int
	seed uint64
	idle int

	good, bad, admin header
}

func newAttack(t testing.TB, idle int) *attack {
	t.Helper()
	var postgres postgrestest.Server
	t.Cleanup(postgres.Stop)
	database := postgres.Database(t)
	s := newStackOn(t, brokertest.StartTCP(t), database)
	answer := complete("Still fine.")
	s.workers(func(w *work) {
		if w.event.Tenant != "idle" {
			answer(w)
		}
	})
	s.retriever(searchAnswer)
	a := &attack{t: t, s: s, seed: uint64(time.Now().UnixNano()), idle: idle}
	t.Logf("seed %d", a.seed)
	a.start(database)
	a.good, a.bad, a.admin = s.key(access.Key{Tenant: "good"}), s.key(access.Key{Tenant: "bad"}), s.key(access.Key{Tenant: "operators"})
	return a
}

// start builds the gateway as it ships and starts it; the test's cleanup stops it.
func (a *attack) start(database string) {
	a.t.Helper()
	dir := a.t.TempDir()
	binary := filepath.Join(dir, "service")
	build := exec.CommandContext(a.t.Context(), "../../.ci/build-service")
	build.Env = append(os.Environ(), "SERVICE=gateway", "OUT="+dir)
	if out, err := build.CombinedOutput(); err != nil {
		a.t.Fatalf("build: %v\n%s", err, out)
	}
	blobs, err := blob.FileURL(filepath.Join(a.t.TempDir(), "blobs"))
	must(a.t, err)
	cmd := exec.Command(binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Env = []string{
		"GOMEMLIMIT=" + memoryLimit, "PATH=" + os.Getenv("PATH"), "RAGBUS_NATS_URL=" + a.s.bus.URL(), "RAGBUS_TOPOLOGY_MODE=verify", "RAGBUS_DATABASE_URL=" + database,
		"RAGBUS_BLOB_URL=" + blobs, "RAGBUS_HTTP_ADDR=127.0.0.1:0", "RAGBUS_LOG_FORMAT=json", "RAGBUS_AUTH=keys", "RAGBUS_BUS_SECRET=" + busSecret(),
		"RAGBUS_MAX_STREAMS=8192", "RAGBUS_HTTP_READ_TIMEOUT=2s", "RAGBUS_READER_GRACE=200ms", "RAGBUS_MAX_UPLOAD_BYTES=1MiB",
	}
	log, err := cmd.StderrPipe()
	must(a.t, err)
	must(a.t, cmd.Start())
	listens, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			var said struct{ Level, Msg, Addr string }
			if err := json.Unmarshal(lines.Bytes(), &said); err != nil || said.Level == "ERROR" {
				a.t.Errorf("the gateway says: %s", lines.Text())
			}
			if said.Msg == "gateway listens" {
				listens <- said.Addr
			}
		}
		ended <- cmd.Wait()
	}()
	a.pid = cmd.Process.Pid
	a.t.Cleanup(func() { a.end(cmd, ended) })
	a.server = &server{t: a.t, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	select {
	case addr := <-listens:
		a.url = "http://" + addr
	case err := <-ended:
		a.t.Fatalf("the gateway ended: %v", err)
	case <-time.After(patience):
		a.t.Fatal("the gateway does not listen")
	}
	a.waitReady()
}

// end stops the gateway, which must end well.
func (a *attack) end(cmd *exec.Cmd, ended <-chan error) {
	a.http.CloseIdleConnections()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			a.t.Errorf("the gateway ended: %v", err)
		}
	case <-time.After(2 * patience):
		a.t.Error("the gateway does not stop")
		_ = cmd.Process.Kill()
		<-ended
	}
}

// usual has clients send what they may, each request on a connection of its own as in an attack.
func (a *attack) usual(requests int) window {
	return a.window(requests, func(random *rand.Rand) int {
		return a.strikeWith(a.t, sampleRequest(a.t, random, "Authorization: "+a.bad["Authorization"]+"\r\n"))
	})
}

// hostile opens streams that nobody reads and connections that stall, strikes, and closes them.
func (a *attack) hostile(requests int) window {
	a.t.Helper()
	readers := a.s.idleReaders(a.t, a.server, a.idle, func() int { return a.metric("ragbus_sse_streams") })
	stuck := stalledConnections(a.t, a.server, stalled)
	w := a.window(requests, func(random *rand.Rand) int { return a.strike(a.t, random, a.bad) })
	if open := a.metric("ragbus_sse_streams"); open < a.idle {
		a.t.Errorf("only %d of %d streams outlasted the attack", open, a.idle)
	}
	for _, c := range slices.Concat(readers, stuck) {
		must(a.t, c.Close())
	}
	return w
}

// window sends requests from eight clients while the good client asks.
func (a *attack) window(requests int, send func(*rand.Rand) int) window {
	a.t.Helper()
	w := window{requests: requests}
	stop := make(chan struct{})
	var good, bad sync.WaitGroup
	good.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			began := time.Now()
			if got := a.postJSON("/v1/chat", `{"question":"Are you well?"}`, a.good); got.status != http.StatusOK {
				a.t.Errorf("the good client gets %d: %s", got.status, got.body)
				return
			}
			w.beside = append(w.beside, time.Since(began))
		}
	})
	before := a.processor()
	var left, refused atomic.Int64
	left.Store(int64(requests))
	for range 8 {
		a.seed++
		random := rand.New(rand.NewPCG(a.seed, 0))
		bad.Go(func() {
			for left.Add(-1) >= 0 {
				if send(random) >= http.StatusBadRequest {
					refused.Add(1)
				}
			}
		})
	}
	bad.Wait()
	w.cpu, w.refused = a.processor()-before, int(refused.Load())
	close(stop)
	good.Wait()
	return w
}

// over waits until the gateway has nothing left of what was sent.
func (a *attack) over() {
	a.t.Helper()
	a.http.CloseIdleConnections()
	eventually(a.t, "everything is given back", func() bool {
		return a.metric("ragbus_sse_streams")+a.metric("ragbus_chats_waiting")+a.metric("ragbus_uploads_running")+a.metric("ragbus_document_waits") == 0
	})
}

// metric returns one of the gateway's own figures.
func (a *attack) metric(name string) int {
	a.t.Helper()
	body := a.do(http.MethodGet, "/metrics", nil, a.admin).body
	for line := range bytes.Lines(body) {
		if value, ok := bytes.CutPrefix(line, []byte(name+" ")); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(string(value)), 64)
			must(a.t, err)
			return int(n)
		}
	}
	a.t.Fatalf("the gateway does not tell %s: %.200s", name, body)
	return 0
}

// resident returns what the system says of the gateway's memory, in bytes.
func (a *attack) resident(what string) int {
	a.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.pid))
	must(a.t, err)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == what+":" {
			n, err := strconv.Atoi(fields[1])
			must(a.t, err)
			return n << 10
		}
	}
	a.t.Fatalf("no %s in\n%s", what, text)
	return 0
}

// processor returns the processor time that the gateway has used.
func (a *attack) processor() time.Duration {
	a.t.Helper()
	const tick = time.Second / 100 // USER_HZ is 100 wherever Go runs on Linux
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", a.pid))
	must(a.t, err)
	// utime and stime are fields 14 and 15; the second, a name, may hold spaces.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	must(a.t, err)
	system, err := strconv.Atoi(fields[12])
	must(a.t, err)
	return time.Duration(user+system) * tick
}
