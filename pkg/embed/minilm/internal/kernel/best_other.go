//go:build !amd64

package kernel

// Best returns the fastest backend that this machine runs.
func Best() Backend { return new(Portable) }
