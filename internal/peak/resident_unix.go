//go:build unix

package peak

import (
	"os"
	"runtime"
	"syscall"
)

// Resident is the largest resident set of this process so far, in bytes, mapped files
// included; 0 where the system does not tell.
func Resident() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return resident(&usage)
}

// ResidentOf is that of a process that has ended. On Linux it is no less than what the
// process that started it held then.
func ResidentOf(s *os.ProcessState) int64 {
	usage, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return resident(usage)
}

func resident(usage *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(usage.Maxrss) // bytes there, kibibytes elsewhere
	}
	return int64(usage.Maxrss) << 10
}
