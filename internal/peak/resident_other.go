//go:build !unix

package peak

import (
	"os"
	"runtime"
)

// Resident is the memory that the program has obtained from the system, in bytes.
func Resident() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys)
}

// ResidentOf is not known here.
func ResidentOf(*os.ProcessState) int64 { return 0 }
