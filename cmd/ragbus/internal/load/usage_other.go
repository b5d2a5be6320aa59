//go:build !unix

package load

import "time"

// ProcessCPU returns 0: this system does not tell.
func ProcessCPU() time.Duration { return 0 }

// ChildrenCPU returns 0: this system does not tell.
func ChildrenCPU() time.Duration { return 0 }
