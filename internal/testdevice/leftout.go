package testdevice

import (
	"errors"
	"os"
	"os/exec"
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
	fails   bool // it does not pass there, which is checked; else it would, but takes minutes
}

const (
	magnifies = "its operands, attention scores of up to 100, magnify rounding: host and device are each off float64 by as much, and by more than they may differ"
	takes     = "takes minutes: "
)

// leftOut is the list of all tests that are not run on a backend. None is there because a
// device has no kernel: the host computes such operations. The fake device
// runs the threads of each block one after the other, many times slower than the
// host's kernels; what it leaves out a GPU runs.
var leftOut = []entry{
	{"graph.TestReadRows", fake, magnifies, true},
	{"graph.TestLogitScale", fake, takes + "all models of TestZoo twice", false},
	{"diag.TestGolden", fake, takes + "searches of all layers on 1,000 images", false},
	{"diag.TestGoldenBalanced", fake, takes + "searches of all layers on 1,000 images", false},
	{"diag.TestGoldenCalibrated", fake, takes + "searches of all layers on 1,000 images", false},
	{"diag.TestPlantedRegression", fake, takes + "three diagnoses of 500 images", false},
	{"diag.TestScaleOfLogits", fake, takes + "ten diagnoses; three", false},
	{"diag.TestRaceFindsPlantedBlock", fake, takes + "races on 500 images, six times", false},
	{"pol.TestBuiltInSample", fake, takes + "trains on 2,000 images", false},
	{"pol.TestGolden", fake, takes + "trains on 5,000 images, twelve times", false},
	{"pol.TestTrialsAreTreatments", fake, takes + "six treatments; nearly one", false},
	{"pol.TestSameBits", fake, takes + "25 treatments; nearly two. TestFixOnDevice of fixtures is a short one", false},
}

// leaveOut skips a test that is on the list. One that is there because it fails is run by
// another process, and must fail still.
func leaveOut(t *testing.T, test, backend string) {
	t.Helper()
	i := slices.IndexFunc(leftOut, func(e entry) bool { return e.test == test && e.backend == backend })
	if i < 0 || os.Getenv(anyway) != "" {
		return
	}
	if leftOut[i].fails {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		run := exec.Command(program, "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$")
		run.Env = append(os.Environ(), anyway+"=1")
		var exit *exec.ExitError
		switch output, err := run.CombinedOutput(); {
		case err == nil:
			t.Errorf("%s passes on %s: take it off the list (%s)", test, backend, leftOut[i].reason)
		case !errors.As(err, &exit) || !strings.Contains(string(output), "--- FAIL: "+t.Name()):
			t.Errorf("%s cannot be run: %v\n%s", test, err, output)
		}
	}
	t.Skip(leftOut[i].reason)
}

// anyway is set where what is on the list is run all the same.
const anyway = "MODELDOCTOR_TEST_LEFT_OUT"

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
