//go:build !unix

package server

// descriptorsMax is how many files and sockets the process may have open.
func descriptorsMax() int { return Unlimited }
