package onnx_test

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// childTask is the environment variable that makes a test's process the child of
// another: it then drafts the model at the first path to the second.
const childTask = "ONNX_TEST_DRAFT"

// child returns a process of the test binary that runs the named test only.
func child(test, task string) *exec.Cmd {
	c := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	c.Env = append(slices.Clone(os.Environ()), childTask+"="+task)
	return c
}

// task returns the paths that the process was started with.
func task() (from, to string, isChild bool) {
	return strings.Cut(os.Getenv(childTask), "\n")
}

// TestKilledWhileDrafting kills a process of its own in the middle of writing a
// large model over an older file, and again while a finished draft waits.
func TestKilledWhileDrafting(t *testing.T) {
	if from, to, ok := task(); ok {
		m, err := onnx.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("drafting")
		if _, err := m.Draft(to, onnx.Edits{InPlace: true}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("drafted")
		time.Sleep(time.Hour) // until it is killed
	}
	path := largeModel(t)
	other := filepath.Join(t.TempDir(), "old.onnx")
	if err := os.WriteFile(other, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{path, other} {
		for _, until := range []string{"drafting", "drafted"} {
			before, err := os.Stat(target)
			if err != nil {
				t.Fatal(err)
			}
			c := child(t.Name(), path+"\n"+target)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != until; {
			}
			if until == "drafting" {
				time.Sleep(20 * time.Millisecond) // into the writing, which takes ten times as long
			}
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); err == nil {
				t.Error("the process ended by itself")
			}
			after, err := os.Stat(target)
			if err != nil || !os.SameFile(before, after) || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
				t.Errorf("killed while %s: the target has changed: %v, %v", until, after, err)
			}
			if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 1 {
				t.Errorf("killed while %s: stray files: %v, %v", until, entries, err)
			}
		}
	}
}

// checkFailed checks that a draft has failed with an error about the target and
// left nothing.
func checkFailed(t *testing.T, err error, target string, cause error, mentions string) {
	t.Helper()
	var failed *onnx.WriteError
	if !errors.As(err, &failed) || !errors.Is(err, cause) || failed.Path != target || failed.Hint() == "" || !strings.Contains(err.Error(), mentions) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v (%T); expected %q and a hint", err, err, mentions)
	}
	if entries, err := os.ReadDir(filepath.Dir(target)); err != nil || len(entries) != 0 {
		t.Errorf("stray files: %v, %v", entries, err)
	}
}

func TestDraftToReadOnlyFolder(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may write everywhere")
	}
	m := writeModel(t, "", full())
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	target := filepath.Join(dir, "out.onnx")
	_, err := m.Draft(target, onnx.Edits{})
	checkFailed(t, err, target, fs.ErrPermission, dir)
}
