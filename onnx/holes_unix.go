//go:build unix

package onnx

import (
	"io/fs"
	"syscall"
)

// hasHoles reports whether a file takes less of the disk than its length.
func hasHoles(info fs.FileInfo) bool {
	const block = 512 // bytes, whatever the file system's own are
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(s.Blocks)*block < info.Size()
}
