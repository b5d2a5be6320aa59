package embeddedvector

import "golang.org/x/sys/cpu"

//go:noescape
func dotRowsAVX2(query *int16, rows *int8, stride, n int, out *int32)

// dotRows sets out[i] to the dot product of query and the i-th row. A row is
// len(query) long, a multiple of rowMultiple. Every implementation returns
// the same integers.
func dotRows(query []int16, rows []int8, out []int32) {
	if len(out) == 0 {
		return
	}
	if !cpu.X86.HasAVX2 {
		dotRowsGeneric(query, rows, out)
		return
	}
	_ = rows[len(query)*len(out)-1]
	dotRowsAVX2(&query[0], &rows[0], len(query), len(out), &out[0])
}
