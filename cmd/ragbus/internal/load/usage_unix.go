//go:build unix

package load

import (
	"syscall"
	"time"
)

// ProcessCPU returns the processor time that this process has used so far, 0
// when the system does not tell.
func ProcessCPU() time.Duration { return usage(syscall.RUSAGE_SELF) }

// ChildrenCPU returns the processor time of the children that have ended and were waited for.
func ChildrenCPU() time.Duration { return usage(syscall.RUSAGE_CHILDREN) }

func usage(who int) time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
