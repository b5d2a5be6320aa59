package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/client"
	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/embed/scriptembed"
	"github.com/ragbus/ragbus/pkg/process"
	"github.com/ragbus/ragbus/services/ingestor"
)

func TestMain(m *testing.M) {
	// A server reads documents in a child that is this program again.
	if ingestor.IsExtractionChild() {
		os.Exit(ingestor.ExtractionChild(os.Stdin, os.Stdout))
	}
	goleak.VerifyTestMain(m,
		// The HTTP server starts one for the whole process and never ends it, and one sees only every 10 s that its server is gone.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

func vars(t *testing.T) config.Vars {
	t.Helper()
	return config.Vars{
		"RAGBUS_DATA_DIR": filepath.Join(t.TempDir(), "data"), "RAGBUS_HTTP_ADDR": "127.0.0.1:0", "RAGBUS_PULL_WAIT": "200ms", "RAGBUS_LOG_LEVEL": "error",
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  config.Vars
		want string
	}{
		{"none", nil, ""},
		{"a key chooses its model", config.Vars{"GEMINI_API_KEY": "k"}, ""},
		{"the other name of the key", config.Vars{"GOOGLE_API_KEY": "k", "RAGBUS_LLM_MODEL": "gemini-2.5-pro"}, ""},
		{"gemini without a key", config.Vars{"RAGBUS_LLM": "gemini"}, "GEMINI_API_KEY: missing"},
		{"a model of another version", config.Vars{"RAGBUS_LLM": "openai"}, "RAGBUS_LLM"},
		{"an embedder of another version", config.Vars{"RAGBUS_EMBEDDER": "cohere"}, "RAGBUS_EMBEDDER"},
		{"a model for the extractive writer", config.Vars{"RAGBUS_LLM": "extractive", "RAGBUS_LLM_MODEL": "m", "GEMINI_API_KEY": "k"}, "RAGBUS_LLM_MODEL"},
		{"blanks for a directory", config.Vars{"RAGBUS_DATA_DIR": "  "}, "RAGBUS_DATA_DIR"},
		{"a broker open to other machines", config.Vars{"RAGBUS_NATS_LISTEN": "0.0.0.0:24555"}, "RAGBUS_NATS_LISTEN"},
		{"a broker open to other machines that has callers with keys", config.Vars{"RAGBUS_NATS_LISTEN": ":4222", "RAGBUS_AUTH": "keys"}, "deploy/compose/nats.conf"},
		{"a broker open to this machine", config.Vars{"RAGBUS_NATS_LISTEN": "localhost:4222", "RAGBUS_AUTH": "none"}, ""},
		{"a listener that is none", config.Vars{"RAGBUS_NATS_LISTEN": "abc"}, "RAGBUS_NATS_LISTEN"},
		{"another database", config.Vars{"RAGBUS_DATABASE_URL": "mysql://u:geheim@h"}, "RAGBUS_DATABASE_URL"},
		{"another index", config.Vars{"RAGBUS_VECTOR_URL": "http://x"}, "RAGBUS_VECTOR_URL"},
		{"another object store", config.Vars{"RAGBUS_BLOB_URL": "ftp://a"}, "RAGBUS_BLOB_URL"},
		{"half a broker", config.Vars{"RAGBUS_NATS_URL": "xyz"}, "RAGBUS_NATS_URL"},
		{"two brokers", config.Vars{"RAGBUS_NATS_URL": "nats://x:4222", "RAGBUS_NATS_LISTEN": "127.0.0.1:4222"}, "RAGBUS_NATS_LISTEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			list, err := Settings(c.set, false)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("the problem is %v, want %q", err, c.want)
			}
			if len(list) < 30 {
				t.Errorf("only %d settings are listed", len(list))
			}
			if c.want == "" {
				return
			}
			if err := Serve(t.Context(), c.set, Options{Out: io.Discard, Log: io.Discard}); !process.NeedsOperator(err) {
				t.Errorf("serving on them ended with %v", err)
			}
		})
	}
}

func TestOpenReleasesWhatItOpened(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	set := vars(t)
	set["RAGBUS_HTTP_ADDR"] = taken.Addr().String()
	open := func() (*Server, error) {
		cfg, err := config.Load[Config](set)
		if err != nil {
			t.Fatal(err)
		}
		embedder, err := scriptembed.New(scriptembed.Config{})
		if err != nil {
			t.Fatal(err)
		}
		return Open(t.Context(), cfg, Parts{Embedder: embedder}, "v1", io.Discard, false)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "RAGBUS_HTTP_ADDR") {
		t.Fatalf("on a taken port: %v", err)
	}
	// The directory is free again, also after a server that never ran.
	set["RAGBUS_HTTP_ADDR"] = "127.0.0.1:0"
	for range 2 {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(); err == nil || !strings.Contains(err.Error(), "RAGBUS_DATA_DIR") {
			t.Errorf("two servers on one directory: %v", err)
		}
		if err := errors.Join(s.Close(t.Context()), s.Close(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// TestABrokenLibraryEndsTheServer: it says which file, and leaves nothing behind.
func TestABrokenLibraryEndsTheServer(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	library := fstest.MapFS{"bad.pdf": {Data: []byte("%PDF-1.7 broken")}}
	err := Serve(t.Context(), vars(t), Options{Version: "v1", Out: &out, Log: io.Discard, Sample: library})
	if err == nil || !strings.Contains(err.Error(), "sample library") {
		t.Errorf("serving ended with %v, having printed %s", err, &out)
	}
}

func TestReadyGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	c, err := client.New("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Ready(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}
