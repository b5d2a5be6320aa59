//go:build !unix

package gateway

// gone cannot tell here; a write that fails will.
func (c *conn) gone() bool { return false }
