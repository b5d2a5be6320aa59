package server

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ragbus/ragbus/pkg/config"
	"github.com/ragbus/ragbus/pkg/process"
)

// TestNoSettingShowsASecret sets everything that may hold one by its name, and
// so also finds what is added without a type that hides it.
func TestNoSettingShowsASecret(t *testing.T) {
	t.Parallel()
	list, _ := Settings(nil, false)
	set := config.Vars{}
	for _, s := range list {
		for _, word := range []string{"URL", "ENDPOINT", "KEY", "SECRET"} {
			if strings.Contains(s.Name, word) {
				set[s.Name] = "nats://u:geheim@h:4222/?key=geheim"
			}
		}
	}
	list, err := Settings(set, false)
	shown, jsonErr := json.Marshal(list)
	if jsonErr != nil || len(set) < 12 {
		t.Fatalf("%d settings, %v", len(set), jsonErr)
	}
	if strings.Contains(string(shown), "geheim") || err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%s\n%v", shown, err)
	}
}

func TestTheEffectiveSettingsAreShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set, want config.Vars
		terminal  bool
	}{
		"nothing is set": {nil, config.Vars{
			"RAGBUS_HTTP_ADDR": "127.0.0.1:8080", "RAGBUS_LLM": "extractive", "RAGBUS_LLM_MODEL": "", "RAGBUS_LOG_FORMAT": "json", "RAGBUS_EMBEDDER": "builtin",
			"RAGBUS_GRACE": "5s", "RAGBUS_ANSWER_TEMPERATURE": "0.1", "RAGBUS_SHUTDOWN_DELAY": "0s", "RAGBUS_TOPOLOGY_MODE": "apply",
		}, false},
		"on a terminal":  {nil, config.Vars{"RAGBUS_LOG_FORMAT": "text"}, true},
		"a port":         {config.Vars{"PORT": "18084"}, config.Vars{"RAGBUS_HTTP_ADDR": "127.0.0.1:18084"}, false},
		"a key":          {config.Vars{"OPENAI_API_KEY": "x"}, config.Vars{"RAGBUS_LLM": "openai", "RAGBUS_LLM_MODEL": "gpt-", "OPENAI_API_KEY": "[redacted]"}, false},
		"an embedder":    {config.Vars{"RAGBUS_EMBEDDER": "gemini", "GEMINI_API_KEY": "x"}, config.Vars{"RAGBUS_EMBEDDER_MODEL": "gemini-embedding", "RAGBUS_LLM": "gemini"}, false},
		"no temperature": {config.Vars{"RAGBUS_ANSWER_TEMPERATURE": "0"}, config.Vars{"RAGBUS_ANSWER_TEMPERATURE": "0"}, false},
	} {
		list, err := Settings(c.set, c.terminal)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, s := range list {
			want, ok := c.want[s.Name]
			if ok && (want == "") != (s.Value == "") || !strings.HasPrefix(s.Value, want) {
				t.Errorf("%s: %s is shown as %q, want %q", name, s.Name, s.Value, want)
			}
			delete(c.want, s.Name)
		}
		if len(c.want) > 0 {
			t.Errorf("%s: not listed: %v", name, c.want)
		}
	}
}

func TestTheWholeOfWhatIsWrongIsSaidBeforeAnythingIsConnected(t *testing.T) {
	t.Parallel()
	err := Serve(t.Context(), config.Vars{
		"RAGBUS_DATABASE_URL": "mysql://u:geheim@h", "RAGBUS_VECTOR_URL": "http://x", "RAGBUS_BLOB_URL": "ftp://a:geheim@b", "RAGBUS_NATS_URL": "xyz",
		"RAGBUS_AUTH": "nope", "RAGBUS_MAX_UPLOAD_BYTES": "much", "RAGBUS_GRACE": "1ms", "RAGBUS_CHAT_MAX_BYTES": "-1", "RAGBUS_STREAM_REPLICAS": "-1",
		"RAGBUS_INGEST_TENANT_WINDOW": "-1", "RAGBUS_EMBED_SLOTS": "0", "RAGBUS_TOPOLOGY_MODE": "verify",
	}, Options{Out: io.Discard, Log: io.Discard})
	if !errors.Is(err, process.ErrSettings) || strings.Contains(err.Error(), "geheim") {
		t.Fatalf("got %v", err)
	}
	lines := strings.Split(err.Error(), "\n")[1:]
	for _, name := range []string{
		"RAGBUS_DATABASE_URL", "RAGBUS_VECTOR_URL", "RAGBUS_BLOB_URL", "RAGBUS_NATS_URL", "RAGBUS_AUTH", "RAGBUS_MAX_UPLOAD_BYTES", "RAGBUS_GRACE",
		"RAGBUS_CHAT_MAX_BYTES", "RAGBUS_STREAM_REPLICAS", "RAGBUS_INGEST_TENANT_WINDOW", "RAGBUS_EMBED_SLOTS", "RAGBUS_TOPOLOGY_MODE",
	} {
		said := 0
		for _, line := range lines {
			if strings.HasPrefix(line, name) {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%s begins %d lines of:\n%v", name, said, err)
		}
	}
	if len(lines) != 12 {
		t.Errorf("%d problems, want 12:\n%v", len(lines), err)
	}
}

func TestWhatKeepsAServerFromStartingIsTheOperators(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]config.Vars{
		"RAGBUS_NATS_CREDS":                      {"RAGBUS_NATS_URL": "nats://127.0.0.1:1", "RAGBUS_NATS_CREDS": "/nonexistent"},
		"RAGBUS_NATS_CREDS: the embedded broker": {"RAGBUS_NATS_CREDS": "/nonexistent"},
		"RAGBUS_DATA_DIR":                        {"RAGBUS_DATA_DIR": "/etc/passwd"},
		"RAGBUS_DATABASE_URL":                    {"RAGBUS_DATABASE_URL": "postgres://u:geheim@127.0.0.1:1/x?connect_timeout=1"},
		"RAGBUS_VECTOR_URL":                      {"RAGBUS_VECTOR_URL": "qdrant://127.0.0.1:1"},
		"RAGBUS_BLOB_URL":                        {"RAGBUS_BLOB_URL": "s3://bucket"},
	} {
		full := vars(t)
		maps.Copy(full, set)
		err := Serve(t.Context(), full, Options{Out: io.Discard, Log: io.Discard})
		if !process.NeedsOperator(err) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), "try again") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommandsThatOnlyLookRefuseADirectoryThatHoldsNothing(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "mistyped")} {
		o := operator(config.Vars{"RAGBUS_DATA_DIR": dir})
		_, verify := o.Verify(t.Context(), true)
		for name, err := range map[string]error{"verify": verify, "keys": o.Keys(t.Context(), false, nil)} {
			if !process.NeedsOperator(err) || !strings.Contains(err.Error(), "RAGBUS_DATA_DIR") || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if made, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(made) > 0 {
			t.Errorf("made %v, %v", made, err)
		}
	}
}

func TestTheCommandsTakeTheSettingsOfServicesAlone(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	set := config.Vars{
		"RAGBUS_TOPOLOGY_MODE": "verify", "RAGBUS_PROBE_ADDR": ":9090", "RAGBUS_BLOB_URL": "s3://bucket", "RAGBUS_STREAM_REPLICAS": "3",
		"RAGBUS_DATA_DIR": filepath.Join(t.TempDir(), "data"),
	}
	o := operator(set)
	o.Log = &said
	if err := o.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(said.String(), filepath.Join(set["RAGBUS_DATA_DIR"], databaseFile)) {
		t.Errorf("what was made is not said: %s", &said)
	}
	if _, err := o.Topology(); err != nil {
		t.Error(err)
	}
}
