package onnx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// WriteError says why a model was not written. Nothing has changed on disk
// then: what was under the path is there as it was, and nothing new.
type WriteError struct {
	Path   string // the file that was to be written
	Msg    string // what was expected and what was found
	Advice string // what the user can do, or ""
	Err    error  // the cause, such as an fs.PathError, or nil
}

// Error returns the whole message on one line.
func (e *WriteError) Error() string {
	return strings.ReplaceAll(e.Path+": "+e.Msg, "\n", " ")
}

// Hint returns what the user can do about it, or "".
func (e *WriteError) Hint() string { return e.Advice }

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// writeError explains why a file of size bytes could not be written to path.
func writeError(path string, size int64, err error) error {
	folder := filepath.Dir(path)
	e := &WriteError{Path: path, Msg: "cannot be written: " + cause(err), Err: err}
	_, missing := os.Stat(folder)
	switch {
	case errors.Is(missing, fs.ErrNotExist):
		e.Msg, e.Advice = fmt.Sprintf("cannot be written: there is no folder %q", folder), "create the folder first, or check the path"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Msg = fmt.Sprintf("cannot be written: no new file may be made in the folder %q (%s)", folder, cause(err))
		e.Advice = "choose a folder that you may write to"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		e.Msg = fmt.Sprintf("cannot be written: %s (%d bytes are needed)", cause(err), size)
		e.Advice = "free some space, or choose a folder on another disk"
	case errors.Is(err, syscall.ENOTDIR):
		e.Advice = fmt.Sprintf("%q is not a folder: check the path", folder)
	case errors.Is(err, syscall.EISDIR):
		e.Msg, e.Advice = "cannot be written: this is a folder", "give the path of a file, such as "+filepath.Join(path, "model.onnx")
	}
	return e
}

// cause returns what the operating system said, without the path.
func cause(err error) string {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		return inner.Err.Error()
	}
	return err.Error()
}
