package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/term"
)

// writerWait is how long a pipe may have nobody who writes to it. A shell's
// <(command) has a writer from the start.
const writerWait = 5 * time.Second

// openInput opens a file that a flag names, to be read once. Beside a regular file that
// may be a pipe, such as a shell makes of <(command), which is waited for until ctx ends.
func openInput(ctx context.Context, path string) (io.ReadCloser, error) {
	info, err := os.Stat(path)
	wrong := func(why string) error { return &fs.PathError{Op: "open", Path: path, Err: errors.New(why)} }
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, wrong("this is a folder, expected a file")
	case info.Mode().IsRegular():
		return os.Open(path)
	}
	type opening struct {
		file *os.File
		err  error
	}
	opened := make(chan opening, 1)
	go func() { // opening a pipe waits for its writer
		f, err := os.Open(path)
		opened <- opening{f, err}
	}()
	select {
	case o := <-opened:
		if o.err != nil {
			return nil, o.err
		}
		if term.IsTerminal(int(o.file.Fd())) {
			return nil, errors.Join(wrong("this is a terminal, expected a file or a pipe"), o.file.Close())
		}
		context.AfterFunc(ctx, func() { _ = o.file.Close() }) // which ends a read that waits
		return pipe{ctx, o.file}, nil
	case <-time.After(writerWait):
		return nil, wrong("this is a pipe, and nothing writes to it")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// openSaved opens a file that the program has written itself, which is a regular one.
func openSaved(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("this is no regular file")}
	}
	return os.Open(path)
}

// pipe is a file whose reads end with a context.
type pipe struct {
	ctx context.Context
	*os.File
}

// Read implements [io.Reader].
func (p pipe) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	if err != nil && p.ctx.Err() != nil {
		err = p.ctx.Err()
	}
	return n, err
}

// isStdin reports whether a path leads to standard input.
func isStdin(path string, stdin io.Reader) bool {
	f, ok := stdin.(*os.File)
	if !ok {
		return false
	}
	its, err1 := f.Stat()
	other, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(its, other)
}
