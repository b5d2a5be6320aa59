package embedtest

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/ragbus/ragbus/pkg/embed"
	"github.com/ragbus/ragbus/pkg/embed/embedtest/emulator"
)

// BenchmarkBatch measures what an adapter itself costs for a batch of 64
// passages: the answer is made once and comes without a network.
func BenchmarkBatch(b *testing.B, wire emulator.Wire, open func(http.RoundTripper) (embed.Embedder, error)) {
	b.Helper()
	c := &canned{server: emulator.New(wire, nil)}
	e, err := open(c)
	if err != nil {
		b.Fatal(err)
	}
	texts := passages(64, 150)
	if _, err := e.Embed(b.Context(), embed.Passage, texts); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Embed(b.Context(), embed.Passage, texts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(texts)*b.N)/b.Elapsed().Seconds(), "texts/s")
}

// canned answers every request with the first answer.
type canned struct {
	server *emulator.Server
	answer []byte
}

// RoundTrip implements [http.RoundTripper].
func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.answer == nil {
		w := &recorder{header: http.Header{}}
		c.server.ServeHTTP(w, r)
		c.answer = w.body.Bytes()
	} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(bytes.NewReader(c.answer)), ContentLength: int64(len(c.answer)), ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

type recorder struct {
	header http.Header
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(p []byte) (int, error) { return r.body.Write(p) }
func (r *recorder) WriteHeader(int)             {}
