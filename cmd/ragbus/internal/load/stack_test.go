package load_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/load"
	"github.com/ragbus/ragbus/cmd/ragbus/internal/server"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/leaktest"
	"github.com/ragbus/ragbus/pkg/llm"
	"github.com/ragbus/ragbus/pkg/llm/scriptllm"
	"github.com/ragbus/ragbus/services/ingestor"
)

// seed makes the library of all measurements.
const seed = 20260101

func TestMain(m *testing.M) {
	if ingestor.IsExtractionChild() {
		os.Exit(ingestor.ExtractionChild(os.Stdin, os.Stdout))
	}
	if load.IsChild(os.Args) {
		if err := load.ServeChild(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}

// quoting is a scripted model that answers with the first sentence of the
// first source that it is shown, and cites it.
func quoting(r llm.Request) scriptllm.Reply {
	_, text, _ := strings.Cut(r.Messages[len(r.Messages)-1].Text, " source 1\n")
	_, text, _ = strings.Cut(text, "\n\n")
	sentence, _, _ := strings.Cut(text, ".")
	return scriptllm.Reply{Deltas: scriptllm.Words("The sources say: " + strings.TrimSpace(sentence) + " [1].")}
}

// scripted are parts that cost next to nothing, so that what is measured is
// everything between them.
func scripted(tb testing.TB) server.Parts {
	tb.Helper()
	embedder, err := scriptembed.New(scriptembed.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return server.Parts{Embedder: embedder, Model: scriptllm.New(quoting, scriptllm.WithoutRequests())}
}

// running is a server in this process, and how to reach it.
type running struct {
	*client.Client
	addr string
}

// serve starts everything in this process on a free port, with the log of
// every request made and thrown away, until the test ends.
func serve(tb testing.TB, dir string, parts server.Parts) running {
	tb.Helper()
	cfg, err := config.Load[server.Config](config.Vars{"RAGBUS_DATA_DIR": dir, "RAGBUS_HTTP_ADDR": "127.0.0.1:0", "RAGBUS_LOG_FORMAT": "json"})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := server.Open(tb.Context(), cfg, parts, "bench", io.Discard, false)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	c, err := client.New(s.URL())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		stop()
		c.Close()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
		if err := s.Close(context.WithoutCancel(ctx)); err != nil {
			tb.Error(err)
		}
	})
	if err := server.Ready(ctx, c); err != nil {
		tb.Fatal(err)
	}
	return running{Client: c, addr: strings.TrimPrefix(s.URL(), "http://")}
}

// fill gives a server the library.
func (r running) fill(tb testing.TB, sections int) {
	tb.Helper()
	chunks, err := load.Fill(tb.Context(), r.Client, load.NewLibrary(seed, sections))
	if err != nil {
		tb.Fatal(err)
	}
	if chunks < sections || chunks > sections*5/4 {
		tb.Fatalf("%d sections made %d chunks, want about as many", sections, chunks)
	}
}

// plan is one of asking this server.
func (r running) plan(sections, questions, clients int) load.Plan {
	return load.Plan{Addr: r.addr, Seed: seed, Sections: sections, Questions: questions, Clients: clients}
}
