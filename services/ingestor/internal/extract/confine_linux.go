package extract

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// selfPath is the running program, even when its file was replaced since.
const selfPath = "/proc/self/exe"

// confine puts this process under limits that the kernel keeps, behind those
// that the parent watches: processor time, data memory, no files, no dumps.
// It also offers itself to the kernel when memory is short, before the worker.
func confine(l Limits) error {
	cpu := uint64(2*max(l.Time, time.Second)/time.Second) + 10
	data := 2*uint64(max(l.Memory, 0)) + 512<<20
	for resource, value := range map[int]uint64{
		syscall.RLIMIT_CPU:   cpu * uint64(runtime.NumCPU()),
		syscall.RLIMIT_DATA:  data,
		syscall.RLIMIT_CORE:  0,
		syscall.RLIMIT_FSIZE: 0,
	} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("set limit %d to %d: %w", resource, value, err)
		}
	}
	// Best effort: a container may not have /proc writable.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o600)
	return nil
}

// resident returns the resident memory of a process in bytes; ok is false when it cannot be told.
func resident(pid int) (size int64, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0, false
	}
	return pages * int64(os.Getpagesize()), true
}
