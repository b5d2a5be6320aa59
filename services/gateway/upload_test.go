package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ragbus/ragbus/pkg/catalog"
	"github.com/ragbus/ragbus/pkg/corpus"
	"github.com/ragbus/ragbus/pkg/event"
	"github.com/ragbus/ragbus/pkg/fault"
)

func TestAnUploadThatIsBrokenOffLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve()
	for name, request := range map[string]string{
		"raw":     "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 300000),
		"chunked": "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + strings.Repeat("x", 0x8000) + "\r\n",
		"form": "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n" + strings.Repeat("x", 300000),
	} {
		c, err := net.Dial("tcp", g.svc.Addr())
		must(t, err)
		_, err = io.WriteString(c, request)
		must(t, err)
		eventually(t, name+" is being read", func() bool { return g.svc.uploads.inUse() == 1 })
		must(t, c.Close())
		eventually(t, name+" has ended", func() bool { return g.svc.uploads.inUse() == 0 })
	}
	if n := s.stored(); n != 0 || len(s.ingestWork()) != 0 {
		t.Fatalf("%d files are left", n)
	}
	if got := g.get("/v1/documents"); string(got.body) != `{"data":[],"next_cursor":null}` {
		t.Fatalf("%s", got.body)
	}
}

// shakyCatalog loses the answer of Accept after, or before, it is recorded.
type shakyCatalog struct {
	catalog.Store
	recorded bool
}

func (c shakyCatalog) Accept(ctx context.Context, u catalog.Upload) (corpus.Document, catalog.Outcome, error) {
	if c.recorded {
		if _, _, err := c.Store.Accept(ctx, u); err != nil {
			return corpus.Document{}, 0, err
		}
	}
	return corpus.Document{}, 0, fault.As(fault.Transient, errors.New("connection to 10.1.2.3 lost"))
}

func TestBytesOfARecordedUploadAreKeptWhateverTheCatalogSays(t *testing.T) {
	t.Parallel()
	for _, recorded := range []bool{true, false} {
		s := newStack(t)
		g := s.serve(func(_ *Config, d *Deps) { d.Catalog = shakyCatalog{s.docs, recorded} })
		got := g.postJSON("/v1/documents", `{"text":"x"}`)
		got.problem(t, http.StatusServiceUnavailable, "unavailable")
		if strings.Contains(string(got.body), "10.1.2.3") {
			t.Fatalf("a stranger sees the cause: %s", got.body)
		}
		if !strings.Contains(s.logs.String(), "10.1.2.3") {
			t.Fatal("the log has no cause")
		}
		if kept := s.stored() == 1; kept != recorded {
			t.Fatalf("recorded %v, kept %v", recorded, kept)
		}
	}
}

// deafPublisher cannot reach the broker.
type deafPublisher struct{}

func (deafPublisher) Publish(context.Context, event.Event) error {
	return fault.Transientf("broker_unavailable", "the message broker cannot be reached")
}

func TestAnUploadIsAcceptedWithoutTheBroker(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(_ *Config, d *Deps) { d.Publisher = deafPublisher{} })
	d := g.postJSON("/v1/documents", `{"text":"x"}`).document(t, http.StatusAccepted)
	fence, err := s.docs.TakeFence(t.Context())
	must(t, err)
	if stalled, err := s.docs.Claim(t.Context(), fence, time.Now().Add(time.Minute), 10); err != nil || len(stalled) != 1 || stalled[0].ID != d.ID {
		t.Fatalf("the sweeper would not find it: %v %v", stalled, err)
	}
	p := g.postJSON("/v1/chat", `{"question":"Why?"}`).problem(t, http.StatusServiceUnavailable, "broker_unavailable")
	if g.status(p.ChatID) != "failed" {
		t.Fatal("the question is stuck")
	}
}

// pattern yields n bytes without holding them.
type pattern struct{ left int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	n := min(len(b), p.left)
	for i := range n {
		b[i] = byte('a' + (p.left-i)%26)
	}
	p.left -= n
	return n, nil
}

func TestManyLargeUploadsNeedLittleMemory(t *testing.T) {
	// Not parallel: it measures the memory of the process.
	s := newStack(t)
	g := s.serve()
	const n, size = 6, 50 << 20
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	done := make(chan struct{})
	var watch, sending sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapAlloc)
			}
		}
	})
	for i := range n {
		sending.Go(func() {
			got, err := g.try(http.MethodPost, fmt.Sprintf("/v1/documents?id=big%d", i), io.LimitReader(&pattern{size}, size), header{"Content-Type": "application/pdf"})
			if err != nil || got.status != http.StatusAccepted {
				t.Errorf("%v %d %s", err, got.status, got.body)
			}
		})
	}
	sending.Wait()
	close(done)
	watch.Wait()
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 40<<20 {
		t.Fatalf("the heap grew by %d MiB for %d uploads of %d MiB", grown>>20, n, size>>20)
	}
}

func TestOneUploadTooManyIs503(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(func(c *Config, _ *Deps) { c.MaxUploads = 1 })
	r, w := io.Pipe()
	first := make(chan answered, 1)
	go func() {
		got, err := g.try(http.MethodPost, "/v1/documents", r, header{"Content-Type": "text/plain"})
		if err != nil {
			t.Error(err)
		}
		first <- got
	}()
	_, err := io.WriteString(w, "begun, ")
	must(t, err)
	eventually(t, "it is being read", func() bool { return g.svc.uploads.inUse() == 1 })
	g.postJSON("/v1/documents", `{"text":"x"}`).problem(t, http.StatusServiceUnavailable, "too_many_uploads")
	_, err = io.WriteString(w, "ended")
	must(t, err)
	must(t, w.Close())
	if d := (<-first).document(t, http.StatusAccepted); d.Bytes != int64(len("begun, ended")) {
		t.Fatalf("%+v", d)
	}
}

func TestAClientThatAsksBeforeItSendsIsToldToGoOn(t *testing.T) {
	t.Parallel()
	g := newStack(t).serve()
	c, err := net.Dial("tcp", g.svc.Addr())
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, "POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	must(t, err)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusContinue {
		t.Fatal(resp.StatusCode)
	}
	_, err = io.WriteString(c, "hello")
	must(t, err)
	resp, err = http.ReadResponse(br, nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Fatal(resp.StatusCode)
	}
}
