package testdevice

import (
	"path"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/modeldoctor/modeldoctor/"

// entry is a test that a backend leaves out.
type entry struct {
	test    string // folder and function
	backend string
	reason  string
}

const takes = "takes minutes: "

// leftOut is the list of all tests that are not run on a backend. None is there because a
// device has no kernel: the host computes such operations. The fake device
// runs the threads of each block one after the other, many times slower than the
// host's kernels; what it leaves out a GPU runs.
var leftOut = []entry{
	{"graph.TestLogitScale", fake, takes + "all models of TestZoo twice"},
	{"diag.TestGolden", fake, takes + "searches of all layers on 1,000 images"},
	{"diag.TestGoldenBalanced", fake, takes + "searches of all layers on 1,000 images"},
	{"diag.TestGoldenCalibrated", fake, takes + "searches of all layers on 1,000 images"},
	{"diag.TestPlantedRegression", fake, takes + "three diagnoses of 500 images"},
	{"diag.TestScaleOfLogits", fake, takes + "ten diagnoses; three"},
	{"diag.TestRaceFindsPlantedBlock", fake, takes + "races on 500 images, six times"},
	{"pol.TestBuiltInSample", fake, takes + "trains on 2,000 images"},
	{"pol.TestGolden", fake, takes + "trains on 5,000 images, twelve times"},
	{"pol.TestTrialsAreTreatments", fake, takes + "six treatments; nearly one"},
	{"pol.TestSameBits", fake, takes + "25 treatments; nearly two. TestFixOnDevice of fixtures is a short one"},
}

// leaveOut skips a test that is on the list.
func leaveOut(t *testing.T, test, backend string) {
	t.Helper()
	if i := slices.IndexFunc(leftOut, func(e entry) bool { return e.test == test && e.backend == backend }); i >= 0 {
		t.Skip(leftOut[i].reason)
	}
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
