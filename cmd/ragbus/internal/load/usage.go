package load

import (
	"syscall"
	"time"
)

// ProcessCPU returns the processor time that this process has used so far, 0
// when the system does not tell.
func ProcessCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
