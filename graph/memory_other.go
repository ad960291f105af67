//go:build !linux

package graph

// UsableMemory is the memory in bytes that the program could take at most, 0
// where it is not known.
func UsableMemory() int64 { return 0 }
