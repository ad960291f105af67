package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/modeldoctor/modeldoctor/internal/atomicfile"
	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"
)

// DataFile is an external data file that a draft refers to.
type DataFile struct {
	Location string // as the model has it: relative to its folder, with slashes
	Path     string
	Size     int64 // bytes
	Copied   bool  // it was not there and appears with the model
}

// dataCopy is a data file that is copied to the draft's folder.
type dataCopy struct {
	locations []string // more than one where the model spells it in several ways
	path      string
	size      int64
	file      *atomicfile.File
}

// discard removes the copy, under its name too: before the model was committed
// there was none of that name.
func (c *dataCopy) discard() error {
	if c.file.Committed() {
		return os.Remove(c.path)
	}
	return c.file.Discard()
}

// DataFiles returns the paths of the external files that the model refers to.
func (m *Model) DataFiles() []string {
	var paths []string
	for _, t := range references(m, nil) {
		paths = append(paths, t.File)
	}
	return paths
}

// references returns a tensor for each external file that the model refers to,
// in file order, those in subgraphs and functions included. The tensors in
// patched do not count.
func references(m *Model, patched map[*Tensor][]float32) []*Tensor {
	without := map[int64]bool{}
	for t := range patched {
		without[t.offset] = true
	}
	var found []*Tensor
	seen := map[string]bool{}
	for message := range m.index.Root().All(wire.Tensor) {
		offset, _ := message.Range()
		if message.Uint(tensorLocation) != 1 || without[offset] {
			continue
		}
		location := entries(message, tensorExternal)["location"]
		if location == "" || seen[location] {
			continue
		}
		seen[location] = true
		found = append(found, &Tensor{Name: clean(message.Bytes(tensorName)), model: m, offset: offset,
			location: location, File: filepath.Join(m.dir, filepath.FromSlash(location))})
	}
	return found
}

// draftData are the external files of a draft.
type draftData struct {
	target  string // the draft's
	folder  string // of target, where external data are looked for
	files   []DataFile
	copies  []*dataCopy
	folders []string // that were made for copies, outermost first
}

// add sees to it that the external files that the draft refers to will be in its
// folder.
func (d *draftData) add(m *Model, e Edits) error {
	references := references(m, e.Weights)
	if len(references) == 0 {
		return nil
	}
	there, err := os.Stat(d.folder)
	if err != nil {
		return writeError(d.target, 0, err)
	}
	here, err := os.Stat(m.dir)
	same := err == nil && os.SameFile(here, there)
	for _, t := range references {
		source, err := external{t}.open()
		if err != nil {
			return err
		}
		err = d.addFile(t, source, same)
		_ = source.Close() // it was only read
		if err != nil {
			return err
		}
	}
	return nil
}

// addFile adds the data file of t. same says that it lies in the draft's folder.
func (d *draftData) addFile(t *Tensor, source *os.File, same bool) error {
	info, err := source.Stat()
	if err != nil {
		return external{t}.unreadable(err)
	}
	if read := t.model.files.read(t.location); read != nil && !sameState(read, info) {
		return t.fail(fmt.Sprintf("its data file %q has changed since it was read", t.File), "run the command again")
	}
	file := DataFile{Location: t.location, Path: filepath.Join(d.folder, filepath.FromSlash(t.location)), Size: info.Size()}
	if !same {
		if file.Copied, err = d.copyUnlessThere(file, source); err != nil {
			return err
		}
	}
	d.files = append(d.files, file)
	return nil
}

// copyUnlessThere copies the data file into the draft's folder, or finds it
// there with the same content.
func (d *draftData) copyUnlessThere(file DataFile, source *os.File) (copied bool, err error) {
	if filepath.Clean(file.Path) == filepath.Clean(d.target) {
		return false, &WriteError{Path: d.target, Msg: "a data file of the model has this name and must lie beside it", Advice: "give another name for the output"}
	}
	if i := slices.IndexFunc(d.copies, func(c *dataCopy) bool { return c.path == file.Path }); i >= 0 {
		d.copies[i].locations = append(d.copies[i].locations, file.Location)
		return true, nil
	}
	root, err := os.OpenRoot(d.folder)
	if err != nil {
		return false, writeError(file.Path, file.Size, err)
	}
	defer root.Close()
	name := filepath.FromSlash(file.Location)
	switch _, err := root.Lstat(name); {
	case err == nil:
		return false, d.sameContent(root, file, source)
	case !errors.Is(err, fs.ErrNotExist):
		return false, &WriteError{Path: file.Path, Msg: "the data file cannot be put here: " + cause(err), Err: err,
			Advice: "links that lead out of the output's folder are not followed: choose another folder"}
	}
	if err := d.makeFolders(root, filepath.Dir(name)); err != nil {
		return false, writeError(file.Path, file.Size, err)
	}
	out, err := atomicfile.Create(file.Path)
	if err != nil {
		return false, writeError(file.Path, file.Size, err)
	}
	d.copies = append(d.copies, &dataCopy{locations: []string{file.Location}, path: file.Path, size: file.Size, file: out})
	if err := copyData(out.File(), source); err != nil {
		return false, writeError(file.Path, file.Size, err)
	}
	return true, nil
}

// copyData copies a data file. One that has holes is copied with holes, so that
// the copy takes no more of the disk.
func copyData(to, from *os.File) error {
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if !hasHoles(info) {
		_, err := io.Copy(to, from)
		return err
	}
	buffer, zeros := make([]byte, chunk), make([]byte, chunk)
	for {
		n, err := io.ReadFull(from, buffer)
		if bytes.Equal(buffer[:n], zeros[:n]) {
			if _, err := to.Seek(int64(n), io.SeekCurrent); err != nil {
				return err
			}
		} else if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			size, err := to.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			return to.Truncate(size) // a hole at the end counts too
		default:
			return err
		}
	}
}

// makeFolders makes the missing ones of a path in the draft's folder.
func (d *draftData) makeFolders(root *os.Root, path string) error {
	if _, err := root.Stat(path); path == "." || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.makeFolders(root, filepath.Dir(path)); err != nil {
		return err
	}
	if err := root.Mkdir(path, 0o755); err != nil {
		return err
	}
	d.folders = append(d.folders, filepath.Join(d.folder, path))
	return nil
}

// sameContent reports whether the data file that is there already is the same as
// source, to the byte.
func (d *draftData) sameContent(root *os.Root, file DataFile, source *os.File) error {
	refuse := func(msg string, err error) error {
		return &WriteError{Path: file.Path, Msg: msg, Advice: "choose an empty folder for the output, or the model's own", Err: err}
	}
	name := filepath.FromSlash(file.Location)
	info, err := root.Stat(name) // before opening: opening a pipe would wait
	if err != nil {
		return refuse("the data file cannot be put here: "+cause(err), err)
	}
	if target, err := os.Stat(d.target); err == nil && os.SameFile(info, target) {
		return refuse("the output would overwrite this data file", nil)
	}
	if !info.Mode().IsRegular() {
		return refuse("the model's data file belongs here, but what is there is not a regular file", nil)
	}
	existing, err := root.Open(name)
	if err != nil {
		return refuse("the data file that is here cannot be read: "+cause(err), err)
	}
	defer existing.Close()
	if same, err := equalContent(source, existing); err != nil {
		return refuse("the data file that is here cannot be compared with the model's: "+cause(err), err)
	} else if !same {
		return refuse("the model's data file belongs here, but a file of that name with other content exists", fs.ErrExist)
	}
	return nil
}

// commit puts the copies under their names.
func (d *draftData) commit() error {
	for _, c := range d.copies {
		if c.file.Committed() {
			continue
		}
		if err := c.file.CommitNew(); err != nil {
			return writeError(c.path, c.size, err)
		}
	}
	return nil
}

// discard removes the copies and the folders that were made for them.
func (d *draftData) discard() error {
	var errs []error
	for _, c := range d.copies {
		errs = append(errs, c.discard())
	}
	for _, folder := range slices.Backward(d.folders) {
		_ = os.Remove(folder) // unless something else is in it by now
	}
	d.copies, d.folders = nil, nil
	return errors.Join(errs...)
}

// equalContent compares two files from where they are.
func equalContent(a, b io.Reader) (bool, error) {
	bufferA, bufferB := make([]byte, chunk), make([]byte, chunk)
	for {
		n, errA := io.ReadFull(a, bufferA)
		k, errB := io.ReadFull(b, bufferB)
		if !bytes.Equal(bufferA[:n], bufferB[:k]) {
			return false, nil
		}
		for _, err := range []error{errA, errB} {
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return false, fmt.Errorf("reading: %w", err)
			}
		}
		if errA != nil { // the end of both: they have given as many bytes
			return true, nil
		}
	}
}
