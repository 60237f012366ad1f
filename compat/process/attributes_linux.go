package process

import "syscall"

// attributes puts the program into a group of its own, and has the kernel kill it when we die without having stopped it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
