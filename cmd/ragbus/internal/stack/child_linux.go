package stack

import (
	"os/exec"
	"syscall"
)

// dieWithUs has the kernel end a program when this one ends, however it does.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
