//go:build !unix

package main

import "runtime"

// peakBytes is the memory that the program has obtained from the system.
func peakBytes() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys)
}
