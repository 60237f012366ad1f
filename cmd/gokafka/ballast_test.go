package main

import (
	"runtime"
	"testing"
)

// The collector waits for as much garbage as the ballast is large.
func TestBallast(t *testing.T) {
	b := ballast()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if free := m.NextGC - m.HeapAlloc; free < ballastBytes*9/10 {
		t.Errorf("the next collection comes after %d bytes, want %d", free, ballastBytes)
	}
	runtime.KeepAlive(b)
}
