package vfs

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Room that is reserved must not show in the size, and go away with the next Truncate.
func TestReserve(t *testing.T) {
	f, err := OS{}.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 5000), 0); err != nil {
		t.Fatal(err)
	}
	before := allocated(t, f)
	f.Reserve(5000, 8<<20)
	if size, err := f.Size(); err != nil || size != 5000 {
		t.Errorf("size %d, %v after Reserve, want 5000", size, err)
	}
	if err := f.Truncate(5000); err != nil {
		t.Fatal(err)
	}
	if after := allocated(t, f); after > before+1<<20 {
		t.Errorf("%d bytes allocated after Truncate, %d before Reserve", after, before)
	}
}

func allocated(t *testing.T, f File) int64 {
	t.Helper()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	info, err := f.OS().Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}
