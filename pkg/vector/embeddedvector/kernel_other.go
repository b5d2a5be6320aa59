//go:build !amd64

package embeddedvector

// dotRows sets out[i] to the dot product of query and the i-th row. A row is
// len(query) long, a multiple of rowMultiple. Every implementation returns
// the same integers.
func dotRows(query []int16, rows []int8, out []int32) { dotRowsGeneric(query, rows, out) }
