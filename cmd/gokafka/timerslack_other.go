//go:build !linux

package main

// coalesceTimers is for Linux, whose timers are exact to 50 µs unless told otherwise.
func coalesceTimers() {}
