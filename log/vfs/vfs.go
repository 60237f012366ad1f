// Package vfs is the seam between the log and the file system.
package vfs

// FS is a file system.
type FS interface{}
