package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// ResidentMemory returns the resident bytes of a process (VmRSS of Linux's /proc).
func ResidentMemory(pid int) (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return 0, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	return memoryIn(status)
}

func memoryIn(status []byte) (int64, error) {
	for line := range bytes.Lines(status) {
		value, ok := bytes.CutPrefix(line, []byte("VmRSS:"))
		if !ok {
			continue
		}
		fields := bytes.Fields(value)
		if len(fields) != 2 || string(fields[1]) != "kB" {
			return 0, fmt.Errorf("not a size: %q", value)
		}
		kilobytes, err := strconv.ParseInt(string(fields[0]), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("not a size: %w", err)
		}
		return kilobytes << 10, nil
	}
	return 0, nil // a process that has ended has no memory any more
}

// TreeMemory returns the resident bytes of a process and all its
// descendants. Pages that they share count for each of them.
func TreeMemory(pid int) (int64, error) {
	total, err := ResidentMemory(pid)
	if err != nil {
		return 0, err
	}
	lists, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "children"))
	if err != nil {
		return 0, fmt.Errorf("list children: %w", err)
	}
	for _, name := range lists {
		list, err := os.ReadFile(name) //nolint:gosec // a file of /proc
		if err != nil {
			continue // the thread has ended
		}
		for field := range bytes.FieldsSeq(list) {
			child, err := strconv.Atoi(string(field))
			if err != nil {
				return 0, fmt.Errorf("not a process: %w", err)
			}
			size, err := TreeMemory(child)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return 0, err
			}
			total += size
		}
	}
	return total, nil
}

// PeakTreeMemory samples [TreeMemory] until ctx ends, and returns the greatest.
func PeakTreeMemory(ctx context.Context, pid int, every time.Duration) (int64, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	peak := int64(0)
	for {
		size, err := TreeMemory(pid)
		if err != nil {
			return peak, err
		}
		peak = max(peak, size)
		select {
		case <-ctx.Done():
			return peak, nil
		case <-tick.C:
		}
	}
}
