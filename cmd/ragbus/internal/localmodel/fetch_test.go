package localmodel

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAChangedModelIsRefused(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(name, []byte("GGUF"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := checkSum(name, modelSum)
	if err == nil || !strings.Contains(err.Error(), "is not the model") {
		t.Fatalf("got %v", err)
	}
	_, got, _ := strings.Cut(err.Error(), "SHA-256 ")
	if len(got) != len(modelSum) || checkSum(name, got) != nil {
		t.Errorf("the sum told is %q", got)
	}
	if err := checkSum(name+"x", modelSum); err == nil {
		t.Error("a missing model is taken")
	}
}

func TestEveryWheelIsPinned(t *testing.T) {
	t.Parallel()
	wheels, hashes := 0, 0
	for line := range strings.Lines(string(requirements)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "--hash=sha256:"):
			hashes++
			if hex := strings.TrimSuffix(strings.TrimPrefix(line, "--hash=sha256:"), " \\"); len(hex) != 64 {
				t.Errorf("%q is no SHA-256", hex)
			}
		default:
			wheels++
			if !strings.Contains(line, "==") {
				t.Errorf("%q has no version", line)
			}
		}
	}
	if wheels != 2 || hashes < wheels {
		t.Errorf("%d wheels with %d hashes", wheels, hashes)
	}
}
