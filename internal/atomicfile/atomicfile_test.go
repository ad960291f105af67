package atomicfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// forms are the ways in which a file is begun: without a name where the system
// allows it, and with one.
var forms = map[string]func(path string) (*File, error){
	"as the system has it": Create,
	"with a name": func(path string) (*File, error) {
		return create(path, func(string, string, fs.FileMode) (*os.File, error) { return nil, errors.ErrUnsupported })
	},
}

func forEachForm(t *testing.T, test func(t *testing.T, create func(string) (*File, error))) {
	for name, create := range forms {
		t.Run(name, func(t *testing.T) { test(t, create) })
	}
}

// write begins a file and writes text to it.
func write(t *testing.T, create func(string) (*File, error), path, text string) *File {
	t.Helper()
	f, err := create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	return f
}

// expect checks what a folder holds, by name and content.
func expect(t *testing.T, folder string, want map[string]string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if _, ok := want[e.Name()]; !ok || err != nil || string(text) != want[e.Name()] {
			t.Errorf("%s holds %q, %v; expected %q, %v", e.Name(), text, err, want[e.Name()], ok)
		}
	}
	if len(entries) != len(want) {
		t.Errorf("%d files, expected %d", len(entries), len(want))
	}
}

func TestNewFile(t *testing.T) {
	forEachForm(t, func(t *testing.T, create func(string) (*File, error)) {
		dir := t.TempDir()
		path := filepath.Join(dir, "a")
		f := write(t, create, path, "new")
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("before Commit: %v", err)
		}
		var back [3]byte
		if _, err := f.File().ReadAt(back[:], 0); err != nil || string(back[:]) != "new" {
			t.Errorf("read back %q, %v", back, err)
		}
		if f.Committed() || f.Path() != path {
			t.Errorf("committed %v, path %s", f.Committed(), f.Path())
		}
		if err := f.Commit(); err != nil || !f.Committed() {
			t.Fatal(err)
		}
		expect(t, dir, map[string]string{"a": "new"})
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()|0o022 != 0o644|0o022 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		for range 2 {
			if err := f.Discard(); err != nil {
				t.Errorf("Discard after Commit: %v", err)
			}
		}
		if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("second Commit: %v", err)
		}
		expect(t, dir, map[string]string{"a": "new"})
	})
}

func TestReplace(t *testing.T) {
	forEachForm(t, func(t *testing.T, create func(string) (*File, error)) {
		dir := t.TempDir()
		path := filepath.Join(dir, "a")
		const mode = 0o606 // that no umask leaves
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		old, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		f := write(t, create, path, "new")
		if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
			t.Errorf("before Commit: %q, %v", text, err)
		}
		if err := f.CommitNew(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("CommitNew: %v", err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		expect(t, dir, map[string]string{"a": "new"})
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if text, err := io.ReadAll(old); err != nil || string(text) != "old" {
			t.Errorf("who had the old file open reads %q, %v", text, err)
		}
	})
}

func TestDiscard(t *testing.T) {
	forEachForm(t, func(t *testing.T, create func(string) (*File, error)) {
		dir := t.TempDir()
		f := write(t, create, filepath.Join(dir, "a"), "new")
		if err := errors.Join(f.Discard(), f.Discard()); err != nil {
			t.Error(err)
		}
		f = write(t, create, filepath.Join(dir, "a"), "new")
		if err := f.CommitNew(); err != nil {
			t.Error(err)
		}
		f = write(t, create, filepath.Join(dir, "a"), "newer")
		if err := f.CommitNew(); !errors.Is(err, fs.ErrExist) || f.Committed() {
			t.Errorf("CommitNew: %v", err)
		}
		if err := f.Discard(); err != nil {
			t.Error(err)
		}
		expect(t, dir, map[string]string{"a": "new"})
	})
}

func TestLinks(t *testing.T) {
	forEachForm(t, func(t *testing.T, create func(string) (*File, error)) {
		dir := t.TempDir()
		links, files := filepath.Join(dir, "links"), filepath.Join(dir, "files")
		for _, folder := range []string{links, files} {
			if err := os.Mkdir(folder, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		link := filepath.Join(links, "a")
		for path, to := range map[string]string{link: filepath.Join("..", "links", "b"), filepath.Join(links, "b"): filepath.Join("..", "files", "c"), filepath.Join(links, "loop"): "loop"} {
			if err := os.Symlink(to, path); err != nil {
				t.Skipf("no symbolic links here: %v", err)
			}
		}
		for _, text := range []string{"first", "second"} { // at first the link leads nowhere
			if err := write(t, create, link, text).Commit(); err != nil {
				t.Fatal(err)
			}
			expect(t, files, map[string]string{"c": text})
		}
		if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("the link has been replaced: %v, %v", info, err)
		}
		if _, err := create(filepath.Join(links, "loop")); err == nil {
			t.Error("a link to itself is accepted")
		}
	})
}

func TestRefused(t *testing.T) {
	forEachForm(t, func(t *testing.T, create func(string) (*File, error)) {
		dir := t.TempDir()
		for path, want := range map[string]error{dir: nil, os.DevNull: nil, filepath.Join(dir, "none", "a"): fs.ErrNotExist} {
			_, err := create(path)
			var at *fs.PathError
			if !errors.As(err, &at) || want != nil && !errors.Is(err, want) {
				t.Errorf("%s: %v", path, err)
			}
		}
		if os.Getuid() == 0 {
			t.Log("the read-only folder is not tried: root may write everywhere")
		} else {
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			if _, err := create(filepath.Join(dir, "a")); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("read-only folder: %v", err)
			}
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, dir, map[string]string{})
	})
}

// TestFolderAtTheTarget has a folder take the target's name between Create and
// Commit.
func TestFolderAtTheTarget(t *testing.T) {
	forEachForm(t, func(t *testing.T, create func(string) (*File, error)) {
		dir := t.TempDir()
		path := filepath.Join(dir, "a")
		f := write(t, create, path, "new")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err == nil {
			t.Error("a folder was replaced")
		}
		if err := f.Discard(); err != nil {
			t.Error(err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}

// TestKilled kills a process of its own while it writes.
func TestKilled(t *testing.T) {
	const variable = "ATOMICFILE_TEST_TARGET"
	if path := os.Getenv(variable); path != "" {
		f, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		for first := true; ; first = false {
			if _, err := f.Write(bytes.Repeat([]byte("new"), 1000)); err != nil {
				t.Fatal(err)
			}
			if first {
				_, _ = os.Stdout.WriteString("writing\n")
			}
			if info, err := f.File().Stat(); err != nil || info.Size() > 1<<20 {
				select {} // until it is killed
			}
		}
	}
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "probe"))
	if err != nil {
		t.Fatal(err)
	}
	named := f.temp != ""
	if err := f.Discard(); err != nil {
		t.Fatal(err)
	}
	if named {
		t.Skip("the file system has no files without names")
	}
	path := filepath.Join(dir, "a")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(slices.Clone(os.Environ()), variable+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("writing\n"))); err != nil {
		t.Error(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := child.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	expect(t, dir, map[string]string{"a": "old"})
}
