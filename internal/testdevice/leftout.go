package testdevice

import (
	"path"
	"runtime"
	"slices"
	"strings"
)

const module = "github.com/modeldoctor/modeldoctor/"

// entry is a test that a backend leaves out.
type entry struct {
	test    string // folder and function
	backend string
	reason  string
}

// leftOut is the list of all tests that are not run on a backend. There is none that a
// device computes wrongly: what it has no kernel for it has the host compute. The fake
// device runs every thread of every block one after the other on the CPU, some hundred times
// slower than the host's kernels, so it leaves out what takes minutes there. A GPU
// leaves out nothing.
var leftOut = []entry{}

// reasonToLeaveOut is "" for what is to be run.
func reasonToLeaveOut(test, backend string) string {
	i := slices.IndexFunc(leftOut, func(e entry) bool { return e.test == test && e.backend == backend })
	if i < 0 {
		return ""
	}
	return leftOut[i].reason
}

// callerOfEach is the test function that calls Each, or whose helper does, as the list has
// it: diag.TestGolden.
func callerOfEach() string {
	callers := make([]uintptr, 64)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		if name, ok := testName(frame.Function); ok || !more {
			return name
		}
	}
}

// testName makes diag.TestGolden of
// github.com/modeldoctor/modeldoctor/diag_test.TestGolden, or of a function within it.
func testName(function string) (name string, ok bool) {
	folder, rest := path.Split(strings.TrimPrefix(function, module))
	pkg, name, _ := strings.Cut(rest, ".")
	name, _, _ = strings.Cut(name, ".")
	return folder + strings.TrimSuffix(pkg, "_test") + "." + name, strings.HasPrefix(name, "Test")
}
