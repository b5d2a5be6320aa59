//go:build !unix

package extract

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func killed(*os.ProcessState) (overtime, byOthers bool) { return false, false }
