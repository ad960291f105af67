// Package atomicfile writes a file so that nothing half-written is ever seen
// under its name: what is there stays as it is until Commit has put the whole
// file, flushed to the disk, in its place.
//
//	f, err := atomicfile.Create("model.onnx")
//	if err != nil { … }
//	defer f.Discard() // nothing after Commit
//	… write to f …
//	return f.Commit()
//
// On Linux the file has no name until then, so that a program that is killed
// leaves nothing behind. Where the file system cannot do that, and on other
// systems, it is called .NAME.* in the same folder.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

const (
	newFileMode = 0o644 // less the process's umask
	maxLinks    = 40    // symbolic links followed, as in Linux
	maxAttempts = 100   // at a name that nothing has
)

// File is a file that is being written. Its methods are not safe for concurrent
// use.
type File struct {
	file *os.File
	path string // where Commit puts it, links followed
	temp string // the name it has until then, "" where it has none

	done      bool // committed or discarded
	committed bool
}

// Create begins a file that is to appear at path. If path is a symbolic link,
// the file that the link leads to will be replaced, not the link. The new file
// has the mode of the one that it replaces, or 0644 less the umask. What is
// there and is not a regular file is refused. Errors are of type
// [*fs.PathError] or [*os.LinkError].
func Create(path string) (*File, error) { return create(path, openUnnamed) }

// create is Create with a way of opening a file without a name in a folder,
// whose error is errors.ErrUnsupported where there is none.
func create(path string, unnamed func(folder, name string, mode fs.FileMode) (*os.File, error)) (*File, error) {
	path, err := Resolve(path)
	if err != nil {
		return nil, err
	}
	mode, replaces := fs.FileMode(newFileMode), false
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil, &fs.PathError{Op: "create", Path: path, Err: syscall.EISDIR}
	case err == nil && !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "create", Path: path, Err: errors.New("not a regular file")}
	case err == nil:
		mode, replaces = info.Mode().Perm(), true
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	f := &File{path: path}
	f.file, err = unnamed(filepath.Dir(path), path, mode)
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.attempt(func(name string) (err error) {
			f.file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
			f.temp = name
			return err
		})
	}
	if err != nil {
		return nil, err
	}
	if replaces { // the umask does not apply to a mode that was chosen before
		if err := f.file.Chmod(mode); err != nil {
			return nil, errors.Join(err, f.Discard())
		}
	}
	return f, nil
}

// Resolve returns the path of the file that path leads to, which need not
// exist, by following symbolic links in its last element.
func Resolve(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			// The folder may be a link itself, and to may begin with "..".
			folder, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return "", err
			}
			to = filepath.Join(folder, to)
		}
		path = to
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: syscall.ELOOP}
}

// attempt calls use with names beside the target until one is free.
func (f *File) attempt(use func(name string) error) error {
	folder, base := filepath.Split(f.path)
	for range maxAttempts {
		err := use(filepath.Join(folder, fmt.Sprintf(".%s.%08x", base, rand.Uint32())))
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return &fs.PathError{Op: "create", Path: f.path, Err: errors.New("no name is free for a temporary file")}
}

// Write writes to the file.
func (f *File) Write(p []byte) (int, error) { return f.file.Write(p) }

// Path returns where the file will appear, after symbolic links.
func (f *File) Path() string { return f.path }

// File returns the open file, for reading and for random access. It is closed by
// Commit and Discard.
func (f *File) File() *os.File { return f.file }

// Commit flushes the file to the disk and puts it at its path, in place of what
// is there. After an error nothing has changed at the path, and the file can be
// committed again or discarded; only an error in flushing the folder leaves the
// new file in place.
func (f *File) Commit() error { return f.commit(true) }

// CommitNew is Commit where nothing must be at the path: if something is, the
// error is fs.ErrExist.
func (f *File) CommitNew() error { return f.commit(false) }

func (f *File) commit(replace bool) error {
	if f.done {
		return &fs.PathError{Op: "commit", Path: f.path, Err: fs.ErrClosed}
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	if err := f.place(replace); err != nil {
		return err
	}
	f.done, f.committed = true, true
	return errors.Join(f.file.Close(), syncFolder(filepath.Dir(f.path)))
}

// Committed reports whether the file has been put at its path.
func (f *File) Committed() bool { return f.committed }

// place gives the file its name.
func (f *File) place(replace bool) error {
	if f.temp == "" {
		err := linkUnnamed(f.file, f.path)
		if !replace || !errors.Is(err, fs.ErrExist) {
			return err
		}
		// A link cannot replace a file, a rename can.
		err = f.attempt(func(name string) error {
			err := linkUnnamed(f.file, name)
			if err == nil {
				f.temp = name
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if replace {
		return os.Rename(f.temp, f.path)
	}
	err := os.Link(f.temp, f.path)
	if err == nil {
		return os.Remove(f.temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	// A file system without links: between the look and the rename another
	// program might create the file.
	if _, err := os.Lstat(f.path); err == nil {
		return &fs.PathError{Op: "create", Path: f.path, Err: fs.ErrExist}
	}
	return os.Rename(f.temp, f.path)
}

// Discard gives the file up: nothing remains of it. After Commit, and when
// called again, it does nothing.
func (f *File) Discard() error {
	if f.done {
		return nil
	}
	f.done = true
	err := f.file.Close()
	if f.temp != "" {
		err = errors.Join(err, os.Remove(f.temp))
	}
	return err
}

// syncFolder makes a new name durable.
func syncFolder(folder string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be flushed there
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err // the others: a file system without this operation
	}
	return nil
}
