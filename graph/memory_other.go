//go:build !linux

package graph

// usableMemory is the memory in bytes that the program could take at most, 0
// where it is not known.
func usableMemory() int64 { return 0 }
