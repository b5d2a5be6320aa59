package load_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/ragbus/ragbus/cmd/ragbus/internal/load"
)

func TestMemoryOfThisProcess(t *testing.T) {
	t.Parallel()
	held := bytes.Repeat([]byte("x"), 32<<20)
	one, err := load.ResidentMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	all, err := load.TreeMemory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if one < int64(len(held)) || all < one/2 || all > 16<<30 {
		t.Errorf("%d bytes, with children %d", one, all)
	}
	if load.ProcessCPU() < time.Millisecond {
		t.Error("no processor time")
	}
}
