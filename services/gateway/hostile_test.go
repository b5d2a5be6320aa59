package gateway

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/access"
)

// By how much the live heap of the gateway, the broker with its streams in
// memory, and all clients, which are one process here, may have grown: at any
// moment of the attack, and at its end with all readers still connected.
const (
	hostilePeak = 200 << 20
	hostileEnd  = 128 << 20
)

// TestHostileRequestsHarmNobody sends what no client should while a good
// client goes on: it gets its answers, nothing of the attack becomes an error
// of ours, the heap stays bounded, and afterwards everything is given back.
// The race detector watches; the whole attack meets a gateway as it ships
// (TestAGatewayUnderAttackStaysSmall).
func TestHostileRequestsHarmNobody(t *testing.T) {
	t.Parallel()
	requests, idle := 2_000, 300
	if testing.Short() {
		requests, idle = 500, 50
	}
	s := newStack(t)
	hold := make(chan struct{})
	s.workers(func(w *work) {
		if w.event.Tenant == "idle" {
			<-hold
			return
		}
		complete("Still fine.")(w)
	})
	s.retriever(searchAnswer)
	g := s.serve(s.withKeys(), func(c *Config, _ *Deps) {
		c.ReadTimeout, c.MaxUploadBytes, c.MaxStreams = 2*time.Second, 1<<20, 4*idle
	})
	good, bad := s.key(access.Key{Tenant: "good"}), s.key(access.Key{Tenant: "bad"})
	var peak atomic.Uint64
	before := live()
	over := make(chan struct{})
	var watch sync.WaitGroup
	served := 0
	watch.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if got := g.postJSON("/v1/chat", `{"question":"Are you well?"}`, good); got.status != http.StatusOK {
				t.Errorf("the good client gets %d: %s", got.status, got.body)
				return
			}
			if served++; served%50 == 0 {
				peak.Store(max(peak.Load(), live()))
			}
		}
	})
	readers := s.idleReaders(t, g, idle, g.svc.streams.inUse)
	stalled := stalledConnections(t, g, idle)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var attack sync.WaitGroup
	var answers [6]atomic.Int64
	const attackers = 8
	for n := range attackers {
		attack.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(n)))
			for range requests / attackers {
				status := g.strike(t, random, bad)
				answers[status/100].Add(1)
			}
		})
	}
	attack.Wait()
	close(over)
	watch.Wait()
	end := live() // all readers are still there
	close(hold)
	for _, c := range slices.Concat(readers, stalled) {
		must(t, c.Close())
	}
	if answers[4].Load() < int64(requests/4) || served < 10 {
		t.Errorf("the attack was none: %d refused, %d served beside", answers[4].Load(), served)
	}
	grown, kept := (int64(peak.Load())-int64(before))>>20, (int64(end)-int64(before))>>20
	if grown > hostilePeak>>20 || kept > hostileEnd>>20 {
		t.Errorf("the heap grew by %d MiB, and by %d to the end", grown, kept)
	}
	g.http.CloseIdleConnections()
	eventually(t, "everything is given back", func() bool {
		return g.svc.streams.inUse()+g.svc.chats.inUse()+g.svc.uploads.inUse()+g.svc.waits.inUse() == 0 && g.svc.ln.count() == 0
	})
	t.Logf("%d served beside %d refused, %d accepted, %d unanswered; heap +%d MiB, %d at the end", served, answers[4].Load(), answers[2].Load(), answers[0].Load(), grown, kept)
}

// live returns the bytes that are in use: with what waits to be collected, the
// figure would be the collector's habits.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// idleReaders opens streams that nothing is told on, and reads none of them.
// It returns when as many are open.
func (s *stack) idleReaders(t testing.TB, g *server, n int, open func() int) []net.Conn {
	t.Helper()
	h := s.key(access.Key{Tenant: "idle"})
	var all []net.Conn
	for range n {
		c, err := net.Dial("tcp", g.addr())
		must(t, err)
		body := `{"question":"Anything?","stream":true}`
		_, err = fmt.Fprintf(c, "POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", h["Authorization"], len(body), body)
		must(t, err)
		all = append(all, c)
	}
	eventually(t, "all read", func() bool { return open() == n })
	return all
}

// stalledConnections opens some that say nothing, some that stop in the
// header, and some that stop in the body.
func stalledConnections(t testing.TB, g *server, n int) []net.Conn {
	t.Helper()
	var all []net.Conn
	for i := range n {
		c, err := net.Dial("tcp", g.addr())
		must(t, err)
		_, err = io.WriteString(c, []string{
			"", "POST /v1/ch", "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\nbegun",
		}[i%3])
		must(t, err)
		all = append(all, c)
	}
	return all
}

// strike sends one hostile request; see [server.strikeWith].
func (g *server) strike(t testing.TB, random *rand.Rand, h header) int {
	var wire string
	credential := "Authorization: " + h["Authorization"] + "\r\n"
	switch random.IntN(6) {
	case 0: // no HTTP at all
		noise := make([]byte, 1+random.IntN(2000))
		for i := range noise {
			noise[i] = byte(random.UintN(256))
		}
		wire = string(noise) + "\r\n\r\n"
	case 1: // deep JSON, and what only looks like JSON
		depth := 1 + random.IntN(50_000)
		body := strings.Repeat([]string{"[", `{"a":`, `{"filter":{"metadata.x":[`}[random.IntN(3)], depth)
		wire = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			[]string{"/v1/chat", "/v1/search", "/v1/documents"}[random.IntN(3)], credential, len(body), body)
	case 2: // ids that are too long or none
		id := strings.Repeat([]string{"a", "%00", "..%2f", "%F0%9F", "*"}[random.IntN(5)], 1+random.IntN(3000))
		rt := attacked()[random.IntN(len(attacked()))]
		wire = fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", rt.method, rt.pathOf(id), credential)
	case 3: // a credential that is none
		wire = "GET /v1/documents HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer rb_" + strings.Repeat("a", random.IntN(8000)) + "\r\n\r\n"
	default: // a good one from the description, mutated
		wire = mutate(random, sampleRequest(t, random, credential))
	}
	return g.strikeWith(t, wire)
}

// strikeWith sends a request and returns the status, 0 when the connection was
// cut. None may become an error of ours; that nobody has a method is none.
func (g *server) strikeWith(t testing.TB, wire string) int {
	status := g.send(wire)
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented {
		t.Errorf("%d for %.300q", status, wire)
	}
	return status
}

// attacked are the routes but /health, which rightly says 503 of a system without workers.
func attacked() []route {
	return slices.DeleteFunc(routes(), func(rt route) bool { return rt.path == "/health" })
}

// sampleRequest returns a request of the table with an example of the description as its body.
func sampleRequest(t testing.TB, random *rand.Rand, credential string) string {
	rt := attacked()[random.IntN(len(attacked()))]
	body := ""
	if rt.method == http.MethodPost || rt.method == http.MethodPatch {
		body = example(t, rt)
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", rt.method, rt.pathOf("some-id"), credential, len(body), body)
}

// example returns the example of an operation's JSON body, "{}" when it has none.
func example(t testing.TB, rt route) string {
	doc, err := spec()
	if err != nil {
		t.Error(err)
		return ""
	}
	op, _ := doc["paths"].(map[string]any)[strings.ReplaceAll(rt.path, ":id", "{id}")].(map[string]any)[strings.ToLower(rt.method)].(map[string]any)
	request, _ := op["requestBody"].(map[string]any)
	content, _ := request["content"].(map[string]any)
	media, _ := content["application/json"].(map[string]any)
	if media["example"] == nil {
		return "{}"
	}
	data, err := json.Marshal(media["example"])
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// mutate changes a few bytes, cuts, doubles or swells a part.
func mutate(random *rand.Rand, wire string) string {
	b := []byte(wire)
	for range 1 + random.IntN(4) {
		at := random.IntN(len(b))
		switch random.IntN(5) {
		case 0:
			b[at] = byte(random.UintN(256))
		case 1:
			b = b[:max(at, 1)]
		case 2:
			b = slices.Insert(b, at, b[at:min(len(b), at+1+random.IntN(64))]...)
		case 3:
			b = slices.Insert(b, at, slices.Repeat([]byte{byte(random.UintN(256))}, random.IntN(5000))...)
		case 4:
			b = slices.Delete(b, at, min(len(b), at+1+random.IntN(16)))
			if len(b) == 0 {
				return "\r\n\r\n"
			}
		}
	}
	return string(b)
}

// addr is where the gateway listens.
func (g *server) addr() string { return strings.TrimPrefix(g.url, "http://") }

// send writes bytes on a connection of their own, half-closes it and returns the first status.
func (g *server) send(wire string) int {
	c, err := net.Dial("tcp", g.addr())
	if err != nil {
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, wire)
	_ = c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode
}
