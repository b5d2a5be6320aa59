package qdranttest

import "golang.org/x/sys/cpu"

//go:noescape
func dotAVX2(a, b *float32, n int) float32

// dotLanes is how many components the kernel takes at once.
const dotLanes = 32

// dot is the dot product of two vectors of the same length.
func dot(a, b []float32) float32 {
	n := len(a) / dotLanes * dotLanes
	if n == 0 || !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return dotGeneric(a, b)
	}
	_ = b[len(a)-1]
	return dotAVX2(&a[0], &b[0], n) + dotGeneric(a[n:], b[n:])
}
