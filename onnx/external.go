package onnx

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"github.com/edsrzf/mmap-go"
)

// external is a tensor whose data lie in another file.
type external struct{ *Tensor }

// complete reads from the TensorProto where the data lie. Whether the file is
// there is [Tensor.CheckData]'s business.
func (t external) complete(message wire.Message) error {
	t.Storage, t.layout = StorageExternal, raw
	where := entries(message, tensorExternal)
	if t.location = where["location"]; t.location == "" {
		return t.fail("external data without a location", "")
	}
	if t.DType.Bits() == 0 {
		return t.fail(fmt.Sprintf("%v cannot be stored externally", t.DType), "")
	}
	t.File = filepath.Join(t.model.dir, filepath.FromSlash(t.location))
	t.Range.Length = int64(t.DType.rawBytes(t.elements))
	for key, value := range where {
		n, err := strconv.ParseInt(value, 10, 64)
		switch key {
		case "offset":
			t.Range.Offset = n
		case "length":
			if err == nil && n != t.Range.Length {
				return t.fail(fmt.Sprintf("%v of shape %v needs %d bytes, its external data have %d", t.DType, t.Shape, t.Range.Length, n), "")
			}
		default:
			continue // location, checksum and keys of later versions
		}
		if err != nil || n < 0 {
			return t.fail(fmt.Sprintf("external data with %s %q, expected a number of bytes", key, value), "")
		}
	}
	return nil
}

// dataFiles maps the external data files of a model, each once, when first
// needed. It is safe for concurrent use.
type dataFiles struct {
	mu     sync.Mutex
	mapped map[string]mmap.MMap
	infos  map[string]fs.FileInfo // of those in mapped, when they were mapped
}

// bytes returns the tensor's data in its external file.
func (t external) bytes() ([]byte, error) {
	data, err := t.file()
	if err != nil {
		return nil, err
	}
	if err := t.checkRange(int64(len(data))); err != nil {
		return nil, err
	}
	end := t.Range.Offset + t.Range.Length
	return data[t.Range.Offset:end:end], nil
}

// file returns the whole of the external file, mapped.
func (t external) file() ([]byte, error) {
	files := &t.model.files
	files.mu.Lock()
	defer files.mu.Unlock()
	data, ok := files.mapped[t.location]
	if ok {
		return data, nil
	}
	f, err := t.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, t.unreadable(err)
	}
	if data, err = mapFile(f); err != nil {
		return nil, t.unreadable(err)
	}
	if files.mapped == nil {
		files.mapped = map[string]mmap.MMap{}
	}
	if files.infos == nil {
		files.infos = map[string]fs.FileInfo{}
	}
	files.mapped[t.location], files.infos[t.location] = data, info
	return data, nil
}

// check looks at the file without mapping it.
func (t external) check() error {
	if data, ok := t.model.files.get(t.location); ok {
		return t.checkRange(int64(len(data)))
	}
	f, err := t.open()
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return t.unreadable(err)
	}
	return t.checkRange(info.Size())
}

func (t external) checkRange(size int64) error {
	// Compared by subtraction: the sum of two numbers from the file may overflow.
	if t.Range.Offset > size || t.Range.Length > size-t.Range.Offset {
		e := t.fail(fmt.Sprintf("external data at byte %d, length %d, but the file has only %d bytes", t.Range.Offset, t.Range.Length, size), "the data file is cut short or belongs to another export: copy it again, or export the model again")
		e.Path, e.Offset = t.File, 0
		if message, hint, ok := t.notData(); ok {
			e.Msg, e.Advice = message+": it has "+strconv.FormatInt(size, 10)+" bytes", hint
		}
		return e
	}
	return nil
}

// notData returns what a data file that is too short is instead, if that can be told.
func (t external) notData() (message, hint string, ok bool) {
	f, err := t.open()
	if err != nil {
		return "", "", false
	}
	defer f.Close()
	start := make([]byte, 64)
	n, _ := io.ReadFull(f, start) // a shorter file is looked at as far as it goes
	switch message, hint, ok := notAModel(start[:n]); {
	case !ok:
		return "", "", false
	case strings.Contains(message, "LFS"), strings.Contains(message, "web page"):
		of, _, _ := strings.Cut(message, ", not")
		return of + ", not the data of the weights", hint, true
	}
	return "", "", false
}

// open opens the data file, which must be a regular file inside the
// model's folder, also after links have been followed.
func (t external) open() (*os.File, error) {
	if t.model.dir == "" {
		return nil, t.fail(fmt.Sprintf("its data are in the file %q, and a model from memory has no folder to look in", t.location), "")
	}
	if !filepath.IsLocal(filepath.FromSlash(t.location)) || slices.Contains(strings.Split(t.location, "/"), "..") {
		return nil, t.fail(fmt.Sprintf("its data file %q lies outside the model's folder, or its name leads upwards", t.location), "export the model with its data beside it; a path that leads elsewhere is never followed")
	}
	root, err := os.OpenRoot(t.model.dir)
	if err != nil {
		return nil, t.unreadable(err)
	}
	defer root.Close()
	// The kind is looked at before opening: opening a pipe would wait.
	info, err := root.Stat(filepath.FromSlash(t.location))
	if err != nil {
		return nil, t.unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return nil, t.fail(fmt.Sprintf("its data file %q is not a regular file", t.location), "")
	}
	f, err := root.Open(filepath.FromSlash(t.location))
	if err != nil {
		return nil, t.unreadable(err)
	}
	return f, nil
}

func (t external) unreadable(err error) error {
	var e *FormatError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e = t.fail(fmt.Sprintf("its data file %q is missing", t.File), "the exporter wrote the weights beside the model: copy "+t.location+" into its folder under that name")
	case errors.Is(err, fs.ErrPermission):
		e = t.fail(fmt.Sprintf("its data file %q cannot be read: permission denied", t.File), "")
	default:
		e = t.fail(fmt.Sprintf("its data file %q cannot be read: %v", t.File, err), "links that lead out of the model's folder are not followed (the Hugging Face cache has such links): copy the file itself")
	}
	e.Err = err
	return e
}

// mapFile maps a whole file copy-on-write: a stray write to a view copies the
// page, the file never changes. A file that is empty maps to nil.
func mapFile(f *os.File) (mmap.MMap, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	return mmap.Map(f, mmap.COPY, 0)
}

// get returns the file at a location, if it is mapped.
func (d *dataFiles) get(location string) (mmap.MMap, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, ok := d.mapped[location]
	return data, ok
}

// read returns what the file at a location was when it was mapped, or nil.
func (d *dataFiles) read(location string) fs.FileInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.infos[location]
}

// unchanged is [Model.Unchanged] of the files in a folder.
func (d *dataFiles) unchanged(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for location, info := range d.infos {
		if err := unchanged(filepath.Join(dir, filepath.FromSlash(location)), info); err != nil {
			return err
		}
	}
	return nil
}

// add makes data, which close will unmap, the file at a location.
func (d *dataFiles) add(location string, data mmap.MMap) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mapped == nil {
		d.mapped = map[string]mmap.MMap{}
	}
	d.mapped[location] = data
}

func (d *dataFiles) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, data := range d.mapped {
		if data != nil {
			errs = append(errs, data.Unmap())
		}
	}
	d.mapped = nil
	return errors.Join(errs...)
}
