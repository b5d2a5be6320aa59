package storm

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/stack"
	"github.com/ragbus/ragbus/pkg/corpus"
)

// busSecret signs what a storm's gateways send.
const busSecret = "a-secret-of-the-storm-which-is-no-secret-at-all"

// tenantName is how the platform knows a tenant. The first is the one of
// everybody without a key.
func tenantName(n int) string {
	if n == 0 {
		return corpus.DefaultTenant
	}
	return fmt.Sprintf("tenant%d", n)
}

// issue makes the keys of every tenant, and one of an administrator, on the
// database itself. With one tenant nobody needs any.
func issue(ctx context.Context, program, dir string, tenants int, vars ...string) ([]keys, string, error) {
	if tenants == 1 {
		return []keys{{}}, "", nil
	}
	var out []keys
	var errs []error
	create := func(tenant int, name, scopes, principal string) string {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		args := []string{"keys", "create", "--name", name, "--tenant", tenantName(tenant), "--scopes", scopes, "--principals", principal}
		cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // the program that make built
		cmd.Dir, cmd.Env = dir, stack.Environment(vars...)
		var said, complained strings.Builder
		cmd.Stdout, cmd.Stderr = &said, &complained
		if err := cmd.Run(); err != nil {
			errs = append(errs, fmt.Errorf("ragbus %s: %w: %s", strings.Join(args, " "), err, &complained))
		}
		return strings.TrimSpace(said.String())
	}
	const everything = "chat,documents:read,documents:write"
	for n := range tenants {
		out = append(out, keys{member: create(n, "member", everything, "group:staff"), insider: create(n, "insider", everything, othersOnly)})
	}
	admin := create(0, "administrator", "admin", "group:staff")
	return out, admin, errors.Join(errs...)
}
