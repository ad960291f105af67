package cifar

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// Limits on what is read into memory or decompressed.
const (
	maxFileBytes    = 1 << 30 // one file: 349,000 records
	maxArchiveBytes = 1 << 32 // an archive, decompressed
)

// files gives access to the files of a data set by their names.
type files interface {
	exists(name string) bool
	// read returns the contents of the files, which belong to the caller.
	read(names []string) ([][]byte, error)
	// path returns what a file is called in an error.
	path(name string) string
}

// folder is a folder with files.
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

func (f folder) exists(name string) bool {
	info, err := os.Stat(f.path(name))
	return err == nil && info.Mode().IsRegular()
}

func (f folder) read(names []string) ([][]byte, error) {
	contents := make([][]byte, len(names))
	for i, name := range names {
		info, err := os.Stat(f.path(name))
		if err == nil && info.Size() > maxFileBytes {
			err = tooLarge(info.Size())
		}
		if err == nil {
			contents[i], err = os.ReadFile(f.path(name))
		}
		if err != nil {
			return nil, &dataset.Error{Path: f.path(name), Msg: "cannot read the data", Err: err}
		}
	}
	return contents, nil
}

func tooLarge(size int64) error {
	return fmt.Errorf("it has %d bytes, more than the %d allowed", size, maxFileBytes)
}

// archive is a .tar.gz. Its members are known by the last part of their names
// and are only ever read into memory: there is nothing that a name like
// ../../x could overwrite.
type archive struct {
	file    string
	members []string
}

// openArchive lists an archive, which takes decompressing it once.
func openArchive(file string) (*archive, error) {
	a := &archive{file: file}
	err := a.walk(func(name string, _ int64, _ io.Reader) error {
		if slices.Contains(a.members, name) {
			return nil // the first one counts
		}
		const most = 1000
		if len(a.members) == most {
			return fmt.Errorf("it has more than %d files", most)
		}
		a.members = append(a.members, name)
		return nil
	})
	return a, err
}

func (a *archive) path(name string) string { return a.file + ": " + name }

func (a *archive) exists(name string) bool { return slices.Contains(a.members, name) }

func (a *archive) read(names []string) ([][]byte, error) {
	contents := make([][]byte, len(names))
	missing := len(names)
	err := a.walk(func(name string, size int64, r io.Reader) error {
		i := slices.Index(names, name)
		if i < 0 || contents[i] != nil {
			return nil
		}
		if size > maxFileBytes {
			return fmt.Errorf("%s: %w", name, tooLarge(size))
		}
		// Not allocated by the declared size, which may be a lie.
		data, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		contents[i] = data
		if missing--; missing == 0 {
			return errDone
		}
		return nil
	})
	if err == nil && missing > 0 {
		err = &dataset.Error{Path: a.file, Msg: "the archive has changed while it was read"}
	}
	return contents, err
}

// errDone ends a walk early.
var errDone = errors.New("done")

// walk calls visit for each regular file of the archive, in order.
func (a *archive) walk(visit func(name string, size int64, r io.Reader) error) error {
	fail := func(err error) error {
		return &dataset.Error{Path: a.file, Msg: "cannot read the archive", Hint: "download it again, or compare its checksum", Err: err}
	}
	f, err := os.Open(a.file)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fail(err)
	}
	all := &limitedReader{z, maxArchiveBytes}
	r := tar.NewReader(all)
	for {
		h, err := r.Next()
		if err == io.EOF {
			if _, err := io.Copy(io.Discard, all); err != nil { // behind the last file is the checksum
				return fail(err)
			}
			return nil
		}
		if err != nil {
			return fail(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := visit(path.Base(h.Name), h.Size, r); err == errDone {
			return nil
		} else if err != nil {
			return fail(err)
		}
	}
}

// limitedReader is a reader that fails when more than left bytes are read.
type limitedReader struct {
	r    io.Reader
	left int64
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("it decompresses to more than the %d bytes allowed", int64(maxArchiveBytes))
	}
	return n, err
}
