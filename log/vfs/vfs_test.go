package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestBoth takes both file systems through one script.
func TestBoth(t *testing.T) {
	for name, fsys := range map[string]FS{"os": OS{}, "mem": NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "a", "b")
			must(t, fsys.MkdirAll(dir))
			must(t, fsys.MkdirAll(dir))
			file := filepath.Join(dir, "file")
			if _, err := fsys.Open(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("open of nothing: %v", err)
			}
			f, err := fsys.Create(file)
			must(t, err)
			writeAndRead(t, f)
			must(t, fsys.Rename(file, file+"2"))
			if _, err := f.ReadAt(make([]byte, 1), 0); err != nil {
				t.Errorf("read after the rename: %v", err)
			}
			must(t, fsys.Remove(file+"2"))
			if _, err := f.ReadAt(make([]byte, 1), 0); err != nil {
				t.Errorf("read after the removal: %v", err)
			}
			must(t, f.Close())
			if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("read after close: %v", err)
			}
			replaceAndList(t, fsys, dir)
			if err := fsys.Remove(dir); err == nil {
				t.Error("a directory with files was removed")
			}
			must(t, fsys.RemoveAll(dir))
			if _, err := fsys.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("stat of nothing: %v", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func writeAndRead(t *testing.T, f File) {
	t.Helper()
	_, err := f.WriteAt([]byte("hello"), 3)
	must(t, err)
	b := make([]byte, 10)
	if n, err := f.ReadAt(b, 0); n != 8 || err != io.EOF || string(b[:n]) != "\x00\x00\x00hello" {
		t.Errorf("read %q, %v", b[:n], err)
	}
	must(t, f.Truncate(5))
	must(t, f.Truncate(6))
	if n, _ := f.ReadAt(b, 0); string(b[:n]) != "\x00\x00\x00he\x00" {
		t.Errorf("after truncation: %q", b[:n])
	}
	if size, err := f.Size(); size != 6 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	must(t, f.Sync())
}

func replaceAndList(t *testing.T, fsys FS, dir string) {
	t.Helper()
	for _, content := range []string{"long content", "short"} {
		must(t, ReplaceFile(fsys, filepath.Join(dir, "z"), []byte(content)))
	}
	must(t, WriteFile(fsys, filepath.Join(dir, "y"), nil, false))
	must(t, fsys.SyncDir(dir))
	list, err := fsys.ReadDir(dir)
	if err != nil || len(list) != 2 || list[0].Name() != "y" || list[1].Name() != "z" {
		t.Errorf("list %v, %v", list, err)
	}
	if b, err := ReadFile(fsys, filepath.Join(dir, "z")); string(b) != "short" || err != nil {
		t.Errorf("content %q, %v", b, err)
	}
	then := time.UnixMilli(1_000_000)
	must(t, fsys.Chtimes(filepath.Join(dir, "z"), then))
	if info, err := fsys.Stat(filepath.Join(dir, "z")); err != nil || !info.ModTime().Equal(then) || info.Size() != 5 {
		t.Errorf("stat %+v, %v", info, err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, ".lock"))
	must(t, err)
	if _, err := fsys.Lock(filepath.Join(dir, ".lock")); !errors.Is(err, ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	must(t, lock.Close())
	lock, err = fsys.Lock(filepath.Join(dir, ".lock"))
	must(t, err)
	must(t, lock.Close())
	must(t, fsys.Remove(filepath.Join(dir, ".lock")))
	if total, usable, err := fsys.Space(dir); err != nil || total < usable || usable <= 0 {
		t.Errorf("space %d, %d, %v", total, usable, err)
	}
}

// TestCrashKeepsWhatIsSynced: after a power cut that loses all it may lose, content and names are there that were synced, and only these.
func TestCrashKeepsWhatIsSynced(t *testing.T) {
	m := NewMem()
	must(t, m.MkdirAll("/d"))
	must(t, m.SyncDir("/"))
	must(t, WriteFile(m, "/d/synced", []byte("one"), true))
	must(t, WriteFile(m, "/d/unsynced", []byte("two"), false))
	must(t, WriteFile(m, "/d/old", []byte("three"), true))
	must(t, m.SyncDir("/d"))
	must(t, WriteFile(m, "/d/nameless", []byte("four"), true))
	must(t, m.Rename("/d/old", "/d/new"))
	f, err := m.Open("/d/synced")
	must(t, err)
	_, err = f.WriteAt([]byte("ONE"), 0)
	must(t, err)
	left := m.Crash(rand.New(rand.NewPCG(1, 1)), 0)
	for name, want := range map[string]string{"/d/synced": "one", "/d/unsynced": "", "/d/old": "three"} {
		if b, err := ReadFile(left, name); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", name, b, err, want)
		}
	}
	for _, name := range []string{"/d/nameless", "/d/new"} {
		if _, err := left.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	killed := m.Crash(nil, 1)
	if b, err := ReadFile(killed, "/d/new"); string(b) != "three" || err != nil {
		t.Errorf("after a kill: %q, %v", b, err)
	}
}

func TestLimit(t *testing.T) {
	m := NewMem()
	m.SetLimit(5)
	f, err := m.Create("/f")
	must(t, err)
	if n, err := f.WriteAt([]byte("12345678"), 0); n != 5 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	if _, err := f.WriteAt([]byte("abc"), 2); err != nil {
		t.Errorf("overwrite on a full disk: %v", err)
	}
}

func TestFaulty(t *testing.T) {
	eio := &fs.PathError{Op: "write", Path: "f", Err: syscall.EIO}
	fsys := Faulty{FS: NewMem(), Fail: func(op Op, name string) error {
		if op == OpWrite {
			return eio
		}
		return nil
	}}
	f, err := fsys.Create("/f")
	must(t, err)
	if n, err := f.WriteAt([]byte("1234"), 0); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Errorf("wrote %d, %v", n, err)
	}
}
