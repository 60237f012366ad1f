// Package cache is where compat keeps what it installs: jars, virtual environments, compiled drivers.
package cache

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Root is the cache directory: $GOKAFKA_CACHE, or "gokafka" in the user's own cache directory.
func Root() (string, error) {
	if dir := os.Getenv("GOKAFKA_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return filepath.Join(dir, "gokafka"), nil
}

// Key is a short name for what is described by s, to tell versions of one thing apart in the cache.
func Key(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s)))[:10] }

// Dir returns a directory of the cache, its own for each name and stamp (a version, or a digest of what it is built from), and
// makes sure that fill has completed in it once. Test packages run side by side as processes, so a file lock lets one of them
// install while the others wait. Before fill runs, one line on stderr says what is being installed.
func Dir(name, stamp string, fill func(dir string) error) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, name+"-"+Key(stamp))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create cache: %w", err)
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", fmt.Errorf("lock cache: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock cache: %w", err)
	}
	mark := filepath.Join(dir, ".complete")
	if _, err := os.Stat(mark); err == nil {
		return dir, nil
	}
	fmt.Fprintf(os.Stderr, "compat: installing %s (%s) into %s\n", name, stamp, dir)
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("empty cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create cache: %w", err)
	}
	if err := fill(dir); err != nil {
		return "", fmt.Errorf("install %s: %w", name, err)
	}
	return dir, os.WriteFile(mark, []byte(stamp), 0o644)
}
