package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// openUnnamed opens a new file in the folder that has no name there. name is
// for messages. The error is errors.ErrUnsupported where the file system, or
// a system without /proc, does not allow it.
func openUnnamed(folder, name string, mode fs.FileMode) (*os.File, error) {
	var fd int
	var err error
	for {
		fd, err = unix.Open(folder, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, uint32(mode.Perm()))
		if err != unix.EINTR {
			break
		}
	}
	switch err {
	case nil:
	case unix.EOPNOTSUPP, unix.EISDIR, unix.EINVAL: // the last two: kernels before 3.11, some network file systems
		return nil, errors.ErrUnsupported
	default:
		return nil, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := os.Lstat(descriptorPath(f)); err != nil {
		return nil, errors.Join(errors.ErrUnsupported, f.Close())
	}
	return f, nil
}

// linkUnnamed gives the file a name that nothing has.
func linkUnnamed(f *os.File, name string) error {
	from := descriptorPath(f)
	if err := unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &fs.PathError{Op: "create", Path: name, Err: err}
	}
	return nil
}

// descriptorPath is a path that leads to an open file: the way to name it that
// needs no privilege.
func descriptorPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
