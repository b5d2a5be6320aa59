package natsserver

import "io"

// LockDir creates a data directory and locks it for this process until the
// lock is closed. [Embedded] does so by itself; it is for those who keep
// other files there and reach a broker elsewhere.
func LockDir(dir string) (io.Closer, error) { return lockDir(dir) }
