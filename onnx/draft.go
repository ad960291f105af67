package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/internal/atomicfile"
)

// Draft is a patched copy of a model: complete and on disk, but not yet under
// its name, and on Linux under none, so that nothing of it remains when the
// program ends without Commit. It is not safe for concurrent use.
type Draft struct {
	source *Model // what it is a copy of
	target string // as given
	model  *atomicfile.File
	size   int64
	sha256 string
	data   draftData
}

// chunk is how much is copied at a time, in bytes.
const chunk = 1 << 20

// Draft writes a copy of the model with the edits, to appear at target when
// [Draft.Commit] is called. External data files are never written to: a patched
// tensor that was in one is stored in the model file instead. The others stay
// where they are if target is in the model's folder; into another folder the
// files that the copy refers to are copied, under their own names.
//
// An error about the model or the new values is of type [*FormatError], one
// about the target of type [*WriteError]; nothing remains of the draft then. A
// tensor of another model, or values that do not fill their tensor, panic.
func (m *Model) Draft(target string, e Edits) (*Draft, error) {
	if m.data == nil {
		return nil, m.fail(0, "the model is closed", "")
	}
	pieces, err := patch(m, e)
	if err != nil {
		return nil, err
	}
	d := &Draft{source: m, target: target, size: total(pieces), data: draftData{target: target, folder: filepath.Dir(target)}}
	if err := checkTarget(m, target, e.InPlace); err != nil {
		return nil, err
	}
	if d.model, err = atomicfile.Create(target); err != nil {
		return nil, writeError(target, d.size, err)
	}
	err = d.data.add(m, e)
	if err == nil {
		err = d.write(pieces)
	}
	if err == nil {
		err = m.Unchanged()
	}
	if err != nil {
		_ = d.Discard() // what went wrong first matters more
		return nil, err
	}
	return d, nil
}

// checkTarget refuses a target that is the model itself, unless that is wanted,
// or one of its data files.
func checkTarget(m *Model, target string, inPlace bool) error {
	if oneFile(target, m.Path) && !inPlace {
		return &WriteError{Path: target, Msg: "this is the model itself, which is not overwritten unless asked to", Advice: "give another name for the output"}
	}
	for _, t := range references(m, nil) {
		if oneFile(target, t.File) {
			return &WriteError{Path: target, Msg: fmt.Sprintf("this is a data file of %s (tensor %q), which is never overwritten", m.Path, t.Name), Advice: "give another name for the output"}
		}
	}
	return nil
}

// write writes the model file.
func (d *Draft) write(pieces [][]byte) error {
	hash := sha256.New()
	for _, b := range pieces {
		for len(b) > 0 {
			n := min(chunk, len(b))
			hash.Write(b[:n])
			if _, err := d.model.Write(b[:n]); err != nil {
				return writeError(d.target, d.size, err)
			}
			b = b[n:]
		}
	}
	d.sha256 = hex.EncodeToString(hash.Sum(nil))
	return nil
}

// Open reads the draft back, as the model that it will be at its target: its
// external data are those that will be beside it. The model stays usable after
// Commit or Discard, until it is closed.
func (d *Draft) Open() (*Model, error) {
	if d.model.Committed() {
		return Open(d.target)
	}
	m := &Model{Path: d.target, dir: d.data.folder}
	for _, c := range d.data.copies {
		if c.file.Committed() {
			continue // a commit that went wrong half-way
		}
		for _, location := range c.locations {
			mapped, err := mapFile(c.file.File())
			if err != nil {
				return nil, errors.Join(openError(c.path, err), m.Close())
			}
			m.files.add(location, mapped)
		}
	}
	if err := readFile(m, d.model.File()); err != nil {
		return nil, errors.Join(err, m.files.close())
	}
	return m, nil
}

// Commit puts the data files that had to be copied, then the model, under their
// names, each flushed to the disk first and each at once. After an error the
// target is as it was, and the draft can be committed again or discarded.
func (d *Draft) Commit() error {
	if err := d.data.commit(); err != nil {
		return err
	}
	if err := d.model.Commit(); err != nil {
		return writeError(d.target, d.size, err)
	}
	return nil
}

// CommitWithBackup is Commit after the file at the target has been given the
// name backup too, which nothing may have yet. Where the file system has no
// links, backup is a copy.
func (d *Draft) CommitWithBackup(backup string) error {
	old := d.model.Path()
	info, err := os.Stat(old)
	if err != nil {
		return &WriteError{Path: backup, Msg: fmt.Sprintf("the backup cannot be made: %q: %s", old, cause(err)), Err: err}
	}
	if err := os.Link(old, backup); err != nil {
		if _, exists := os.Lstat(backup); exists == nil {
			return &WriteError{Path: backup, Msg: "this file exists, and a backup never overwrites one", Advice: "remove it or give the backup another name", Err: fs.ErrExist}
		}
		if err := copyFile(old, backup, info); err != nil {
			return writeError(backup, info.Size(), err)
		}
	}
	err = d.Commit()
	if err != nil && !d.model.Committed() {
		err = errors.Join(err, os.Remove(backup))
	}
	return err
}

// copyFile copies the file from, which info describes, to a new file.
func copyFile(from, to string, info fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := atomicfile.Create(to)
	if err != nil {
		return err
	}
	defer out.Discard()
	if _, err := io.Copy(out.File(), in); err != nil {
		return err
	}
	if err := out.File().Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	return out.CommitNew()
}

// Discard removes everything that the draft has made. After Commit, and when
// called again, it does nothing.
func (d *Draft) Discard() error {
	if d.model.Committed() {
		return nil
	}
	return errors.Join(d.data.discard(), d.model.Discard())
}

// SHA256 returns the digest of the model file, without external data, in
// hexadecimal.
func (d *Draft) SHA256() string { return d.sha256 }

// Size returns the length of the model file, without external data, in bytes.
func (d *Draft) Size() int64 { return d.size }

// DataFiles lists the external files that the draft refers to, in the order in
// which it does.
func (d *Draft) DataFiles() []DataFile { return d.data.files }
