package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"github.com/edsrzf/mmap-go"
)

// Model is an open model file. It is safe for concurrent reading; its exported
// fields are not to be changed. Views of its data die with [Model.Close].
type Model struct {
	Path            string // as given to Open; "" for a model from memory
	Size            int64  // bytes, without external data
	IRVersion       int64
	Producer        string
	ProducerVersion string
	GraphName       string
	Opsets          map[string]int64 // domain → version; "" is ai.onnx
	Metadata        map[string]string
	Nodes           []*Node     // topological: every value is made before it is used; see [Guard] for control flow
	Inputs          []ValueInfo // without those that are initializers
	Outputs         []ValueInfo
	Tensors         []*Tensor // the initializers, in file order
	// SparseInitializers counts the sparse tensors, which are not read: see
	// [Model.Unsupported].
	SparseInitializers int

	dir       string // where external data lie; "" refuses them
	data      []byte
	mapped    mmap.MMap   // nil for a model from memory
	info      fs.FileInfo // of the file when it was mapped
	index     *wire.Index
	graph     wire.Message
	constants map[string]*Tensor // by value name: initializers and Constant nodes
	files     dataFiles
	sha256    func() string
	// untiedFrom is the model, of a file or of memory, that Untied began with, be
	// it in several steps; nil for that model itself.
	untiedFrom *Model
}

// ValueInfo is a declared input or output of the graph.
type ValueInfo struct {
	Name  string
	DType DType // Undefined where the value is not a tensor
	Shape []Dim // nil where the rank is not declared; empty for a scalar
}

// Dim is one dimension of a declared shape: a size, or Value -1 and the name of
// a symbolic one, "" where it is not named either.
type Dim struct {
	Value int64
	Param string
}

// String returns the size, the name or "?".
func (d Dim) String() string {
	switch {
	case d.Value >= 0:
		return fmt.Sprint(d.Value)
	case d.Param != "":
		return d.Param
	}
	return "?"
}

// Open maps the file and reads its structure; of the data of tensors nothing is
// read. While the model is open nothing may be written to the file; another file may
// take its place. Errors about the file are of type [*FormatError].
func Open(path string) (*Model, error) {
	// The kind is looked at before opening: opening a pipe would wait.
	info, err := os.Stat(path)
	if err != nil {
		return nil, openError(path, err)
	}
	switch {
	case info.IsDir():
		return nil, &FormatError{Path: path, Msg: "this is a folder, not an ONNX model", Advice: folderHint(path)}
	case !info.Mode().IsRegular():
		return nil, &FormatError{Path: path, Msg: "this is not a regular file", Advice: "give the path of a .onnx file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	defer f.Close()
	m := &Model{Path: path, dir: filepath.Dir(path)}
	if err := readFile(m, f); err != nil {
		return nil, err
	}
	return m, nil
}

// readFile maps f and reads its structure. After an error m is closed.
func readFile(m *Model, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return openError(m.Path, err)
	}
	mapped, err := mapFile(f)
	if err != nil {
		return openError(m.Path, err)
	}
	m.data, m.mapped, m.info = mapped, mapped, info
	if err := decode(m); err != nil {
		_ = m.Close() // what was wrong with the file matters more
		return err
	}
	return nil
}

// Parse reads a model from memory. data must stay unchanged while the model is
// used, and views of tensors are views of it. dir is the folder in which
// external data are looked for; "" refuses them.
func Parse(data []byte, dir string) (*Model, error) {
	m := &Model{data: data, dir: dir}
	if err := decode(m); err != nil {
		return nil, err
	}
	return m, nil
}

// Close unmaps the file and its external data. Slices from [Tensor.Float32s]
// must not be used afterwards.
func (m *Model) Close() error {
	err := m.files.close()
	if m.mapped != nil {
		err = errors.Join(err, m.mapped.Unmap())
		m.mapped, m.data = nil, nil
	}
	return err
}

// SHA256 returns the digest of the model file, without external data, in
// hexadecimal. It reads the whole file the first time. The error is one of
// [Model.Unchanged]: what was read of the file is not what the digest would be of.
func (m *Model) SHA256() (string, error) {
	if m.data == nil {
		return "", fmt.Errorf("%s: the model is closed: %w", m.Path, os.ErrClosed)
	}
	return m.sha256(), m.Unchanged()
}

// Unchanged returns an error where the model's file, or a data file that was read, has
// been written to since it was mapped: what was read may be partly the old and partly
// the new. Where another file has taken its place the old one stays mapped.
func (m *Model) Unchanged() error {
	if m.untiedFrom != nil {
		if err := m.untiedFrom.Unchanged(); err != nil {
			return err
		}
	}
	if err := unchanged(m.Path, m.info); err != nil {
		return err
	}
	return m.files.unchanged(m.dir)
}

// unchanged returns an error where the file at a path is the one that info is of, with a
// changed size or time. info may be nil.
func unchanged(path string, info fs.FileInfo) error {
	now, err := os.Stat(path)
	if err != nil || info == nil || !os.SameFile(info, now) || sameState(info, now) {
		return nil
	}
	return &FormatError{Path: path, Msg: "the file was written to while it was read",
		Advice: "run the command again when nothing writes to it; what is written under another name, and renamed, disturbs nobody"}
}

// sameState reports whether two looks at a file saw the same file, unchanged.
func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Opset returns the version of the operator set that the model imports for a
// domain, 0 where it imports none. "" and "ai.onnx" are the same domain.
func (m *Model) Opset(domain string) int64 { return m.Opsets[canonicalDomain(domain)] }

func canonicalDomain(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// Tensor returns the constant of that name: an initializer or the value of a
// Constant node; nil where there is none.
func (m *Model) Tensor(name string) *Tensor { return m.constants[name] }

// fail makes an error about the model file.
func (m *Model) fail(offset int64, msg, hint string) *FormatError {
	return &FormatError{Path: m.Path, Offset: offset, Msg: msg, Advice: hint}
}

// failAt makes an error about a node.
func (m *Model) failAt(n *Node, hint, format string, args ...any) *FormatError {
	e := m.fail(n.Offset, fmt.Sprintf(format, args...), hint)
	e.Node = n.Label()
	return e
}

// digest returns the function that computes the digest of data when it is first
// called.
func digest(data []byte) func() string {
	return sync.OnceValue(func() string {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	})
}

func openError(path string, err error) error {
	e := &FormatError{Path: path, Err: err, Msg: "cannot be read: " + err.Error()}
	var cause *fs.PathError
	if errors.As(err, &cause) {
		e.Msg = "cannot be read: " + cause.Err.Error()
	}
	if errors.Is(err, fs.ErrNotExist) {
		e.Msg, e.Advice = "no such file", "check the path of the model"
	}
	return e
}

// folderHint names the model in a folder, where there is just one.
func folderHint(path string) string {
	if found, err := filepath.Glob(filepath.Join(path, "*.onnx")); err == nil && len(found) == 1 {
		return "did you mean " + found[0] + "?"
	}
	return "give the path of a .onnx file"
}
