//go:build unix

package natsserver

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// flock takes an exclusive lock on file without waiting. The kernel drops it
// when the process ends, however it ends. held is true when somebody else has it.
func flock(file *os.File) (held bool, err error) {
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("flock: %w", err)
	}
	return false, nil
}
