package natsserver

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// flock takes an exclusive lock on file without waiting. held is true when somebody else has it.
func flock(file *os.File) (held bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(file.Fd()), flags, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock file: %w", err)
	}
	return false, nil
}
