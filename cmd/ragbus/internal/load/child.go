package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
)

// childArgument makes a program that calls [ServeChild] a generator of load.
const childArgument = "generate-load"

// IsChild reports whether this process was started by [DriveApart].
func IsChild(args []string) bool { return slices.Contains(args[1:], childArgument) }

// ServeChild carries out the plan that it reads and writes the report.
func ServeChild(ctx context.Context, in io.Reader, out io.Writer) error {
	var p Plan
	if err := json.NewDecoder(in).Decode(&p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	r, err := Drive(ctx, p)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// DriveApart is [Drive] in a process of its own, made of the same program, so
// that the processor time of the server and that of asking can be told apart.
func DriveApart(ctx context.Context, p Plan) (Report, error) {
	self, err := os.Executable()
	if err != nil {
		return Report{}, fmt.Errorf("find this program: %w", err)
	}
	plan, err := json.Marshal(p)
	if err != nil {
		return Report{}, fmt.Errorf("encode the plan: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, childArgument) //nolint:gosec // this very program
	cmd.Stdin, cmd.Stderr = bytes.NewReader(plan), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return Report{}, fmt.Errorf("generate load: %w", err)
	}
	var r Report
	if err := json.Unmarshal(out, &r); err != nil {
		return Report{}, fmt.Errorf("read the report: %w", err)
	}
	return r, nil
}
