package kernel

import "golang.org/x/sys/cpu"

// Best returns the fastest backend that this machine runs.
func Best() Backend {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return avx2{}
	}
	return new(Portable)
}
