//go:build localmodel

package localmodel_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/localmodel"
)

// program is `ragbus serve` with the local model.
type program struct {
	t    *testing.T
	base string
	http *http.Client
	log  *locked
}

// locked is a log that is written and read at the same time.
type locked struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// build makes the program once; TestMain removes it.
var build = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("go", "build", "-o", binaries, "../..")
	cmd.Stderr = os.Stderr
	return filepath.Join(binaries, "ragbus"), cmd.Run()
})

var listening = regexp.MustCompile(`Ragbus listens on (http://[^ ]+) `)

func serve(t *testing.T, apiKey string) program {
	t.Helper()
	dir := t.TempDir()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	p := program{t: t, log: &locked{}, http: &http.Client{Timeout: patience, Transport: &http.Transport{}}}
	t.Cleanup(p.http.CloseIdleConnections)
	cmd := exec.Command(binary, "serve")
	cmd.Dir, cmd.Stderr = dir, p.log
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "RAGBUS_DATA_DIR=" + filepath.Join(dir, "data"), "RAGBUS_HTTP_ADDR=127.0.0.1:0",
		"RAGBUS_LLM=openai", "RAGBUS_OPENAI_BASE_URL=" + process.BaseURL, "RAGBUS_LLM_MODEL=" + localmodel.ModelName, "OPENAI_API_KEY=" + apiKey,
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				said <- found[1]
			}
		}
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("the program's log:\n%s", p.log)
		}
		if strings.Contains(p.log.String(), apiKey) {
			t.Error("the key is in the log")
		}
	})
	select {
	case p.base = <-said:
	case <-ended:
		t.Fatalf("the program ended:\n%s", p.log)
	case <-time.After(time.Minute):
		t.Fatalf("the program does not listen:\n%s", p.log)
	}
	return p
}

// call sends JSON and returns the status and the body.
func (p program) call(method, path string, body any) (int, string) {
	p.t.Helper()
	payload, err := json.Marshal(body)
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.base+path, bytes.NewReader(payload))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (p program) index() {
	p.t.Helper()
	status, body := p.call(http.MethodPost, "/v1/documents", map[string]any{
		"id": "quellmar", "title": "Quellmar", "text": "The lighthouse of Quellmar was built in 1847 by the engineer Ottilie Brandt. It is 41 metres tall. Its lamp is lit at dusk.",
	})
	if status != http.StatusAccepted {
		p.t.Fatalf("%d %s", status, body)
	}
	for range 10 {
		if _, body = p.call(http.MethodGet, "/v1/documents/quellmar?wait=30s", nil); strings.Contains(body, `"status":"indexed"`) {
			return
		}
	}
	p.t.Fatalf("not indexed: %s", body)
}

type chat struct {
	ID        string
	Status    string
	Answer    string
	Grounded  bool
	Reason    *string
	Model     string
	Usage     map[string]int
	Citations []struct{ Marker int }
	Sources   []struct{ Text string }
}

func parse(t *testing.T, body string) chat {
	t.Helper()
	var c chat
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return c
}

// wellFormed checks what holds of every answer, however odd its words.
func wellFormed(t *testing.T, c chat) {
	t.Helper()
	if c.Status != "completed" || c.Answer == "" || c.Model != localmodel.ModelName || c.Usage["prompt_tokens"] < 100 || c.Usage["completion_tokens"] < 1 || len(c.Sources) == 0 {
		t.Errorf("%+v", c)
	}
	if c.Grounded == (c.Reason != nil) || c.Grounded && len(c.Citations) == 0 {
		t.Errorf("grounded %v, reason %v, %d citations", c.Grounded, c.Reason, len(c.Citations))
	}
	if c.Reason != nil && !slices.Contains([]string{"no_relevant_passages", "unsupported_answer", "blocked"}, *c.Reason) {
		t.Errorf("reason %q", *c.Reason)
	}
}

func TestThePipeline(t *testing.T) {
	p := serve(t, key)
	p.index()
	request := map[string]any{"question": "Who built the lighthouse of Quellmar?", "deadline_ms": 280_000}

	status, body := p.call(http.MethodPost, "/v1/chat", request)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	wellFormed(t, parse(t, body))
	t.Logf("the model's answer: %s", parse(t, body).Answer)

	request["stream"] = true
	_, events := p.call(http.MethodPost, "/v1/chat", request)
	var names []string
	var last string
	for line := range strings.Lines(events) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "event: "); ok && (len(names) == 0 || names[len(names)-1] != name) {
			names = append(names, name)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			last = data
		}
	}
	if len(names) < 3 || names[0] != "started" || names[1] != "sources" || names[len(names)-1] != "done" {
		t.Fatalf("events %v", names)
	}
	wellFormed(t, parse(t, last))
}

func TestACancelledChatFreesTheModel(t *testing.T) {
	p := serve(t, key)
	p.index()
	status, body := p.call(http.MethodPost, "/v1/chat", map[string]any{"question": "Tell everything about the lighthouse of Quellmar.", "background": true, "deadline_ms": 280_000})
	if status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
	id := parse(t, body).ID
	if status, body = p.call(http.MethodDelete, "/v1/chat/"+id, nil); status >= 300 {
		t.Fatalf("%d %s", status, body)
	}
	for end := time.Now().Add(patience); ; {
		_, body = p.call(http.MethodGet, "/v1/chat/"+id, nil)
		if s := parse(t, body).Status; s == "cancelled" || s == "completed" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("never cancelled: %s", body)
		}
	}
	if status, body = p.call(http.MethodPost, "/v1/chat", map[string]any{"question": "How tall is the lighthouse of Quellmar?", "deadline_ms": 280_000}); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
}

func TestAWrongKeyIsAClearFailure(t *testing.T) {
	p := serve(t, "a-wrong-key-0123456789")
	p.index()
	status, body := p.call(http.MethodPost, "/v1/chat", map[string]any{"question": "Who built the lighthouse of Quellmar?"})
	if status < 500 || !strings.Contains(body, "model_unauthorized") || strings.Contains(body, "a-wrong-key") {
		t.Errorf("%d %s", status, body)
	}
}
