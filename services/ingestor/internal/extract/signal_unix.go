//go:build unix

package extract

import (
	"os"
	"syscall"
)

// ownGroup keeps signals of the terminal away from the child: Ctrl-C must not
// look like a document that kills its reader.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// killed tells by which signal a process ended: that of the kernel's limit on
// processor time, or one that others send.
func killed(state *os.ProcessState) (overtime, byOthers bool) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return false, false
	}
	sig := status.Signal()
	return sig == syscall.SIGXCPU, sig == syscall.SIGKILL || sig == syscall.SIGTERM
}
