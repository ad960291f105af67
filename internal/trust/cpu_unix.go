//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is what this process has taken of all processors, and false where that
// cannot be said.
func cpuTime() (time.Duration, bool) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
}
