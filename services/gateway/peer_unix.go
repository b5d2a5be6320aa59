//go:build unix

package gateway

import (
	"errors"
	"syscall"
)

// gone reports whether the client has closed its side. It looks at the
// socket and takes nothing from it. fasthttp cannot tell (its contexts end
// only with the server), and a write fails only a second or two after.
func (c *conn) gone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true
	}
	left := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil:
			left = n == 0
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		default:
			left = true
		}
	})
	return left || err != nil
}
