package spill_test

import (
	"errors"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/modeldoctor/modeldoctor/internal/spill"
)

// TestFull writes beyond what a file may have, as to a full disk: an error that
// says what to do, and what was written before is still there.
func TestFull(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Skip(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	const bytes = 4096
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: limit.Max}); err != nil {
		t.Skip(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	folder := t.TempDir()
	a := &spill.File{TempDir: folder}
	write(t, a, 0, numbers(0, 1000))
	if err := a.Write(1000, numbers(1000, 1000)); !errors.Is(err, syscall.EFBIG) || !strings.Contains(err.Error(), "make room there") {
		t.Errorf("error %v", err)
	}
	expectRead(t, a, 0, numbers(0, 1000))
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if found := files(t, folder); len(found) > 0 {
		t.Errorf("%s is left", found[0].Name())
	}
}
