package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
)

// toolsVariable names the folder of the programs that the tests of many
// processes start: ours, and nats-server. `make e2e` builds them and sets it.
const toolsVariable = "RAGBUS_E2E_TOOLS"

// needTools skips a test that starts a dozen processes, unless it is asked for.
func needTools(t *testing.T) {
	t.Helper()
	if os.Getenv(toolsVariable) == "" {
		t.Skipf("this test starts a dozen processes: run `make e2e`, which sets %s", toolsVariable)
	}
}

// tool returns the path of a program.
func tool(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(os.Getenv(toolsVariable), name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v; `make e2e` builds it", toolsVariable, err)
	}
	return path
}

// child is a program that is started, stopped, killed and started again.
type child struct{ *stack.Child }

// launch starts the program. Nothing is waited for.
func (c *child) launch(t testing.TB) {
	t.Helper()
	must(t, c.Launch())
}

// ready waits until the program answers.
func (c *child) ready(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, c.Ready(ctx))
}

// kill ends the program at once, as a crash of its machine does.
func (c *child) kill() { c.Kill() }

// stop asks the program to end, and waits until it has.
func (c *child) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must(t, c.Stop(ctx))
}

// freeAddress returns an address on the loopback that nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	at, err := stack.FreeAddress(t.Context())
	must(t, err)
	return at
}
