// Package cifar reads CIFAR-10 and CIFAR-100 in the forms that they are
// published in, and holds a sample of CIFAR-100 for use without any data.
//
// The forms, each as a folder, as a .tar.gz of that folder, or as one of its
// files:
//
//	                CIFAR-10                            CIFAR-100
//	binary          data_batch_1.bin …, test_batch.bin  train.bin, test.bin
//	Python pickle   data_batch_1 …, test_batch          train, test
//
// Files may hold any number of records. Labels are CIFAR-100's fine ones. Class
// names are read from the file that belongs to the form (batches.meta.txt,
// fine_label_names.txt, batches.meta, meta) where it is present.
//
// Nothing in a file is trusted: pickles are read by a reader that has no code to
// run (see internal/pickle), archives are never unpacked, and sizes are bounded.
//
// Source: A. Krizhevsky, Learning multiple layers of features from tiny images,
// 2009; https://www.cs.toronto.edu/~kriz/cifar.html.
package cifar

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/modeldoctor/modeldoctor/dataset"
)

// A layout is a form of a data set.
type layout struct {
	classes int
	splits  []splitFiles
	names   string // the file of class names
	parse   func(data []byte, classes int) (*records, error)
}

// splitFiles are the files that make up a split.
type splitFiles struct {
	split string
	files []string
}

// layouts returns the known forms.
func layouts() []layout {
	batches := func(suffix string) []splitFiles {
		train := make([]string, 5)
		for i := range train {
			train[i] = fmt.Sprintf("data_batch_%d%s", i+1, suffix)
		}
		return []splitFiles{{dataset.Train, train}, {dataset.Test, []string{"test_batch" + suffix}}}
	}
	whole := func(suffix string) []splitFiles {
		return []splitFiles{{dataset.Train, []string{"train" + suffix}}, {dataset.Test, []string{"test" + suffix}}}
	}
	return []layout{
		{100, whole(".bin"), "fine_label_names.txt", parseBinary},
		{10, batches(".bin"), "batches.meta.txt", parseBinary},
		{100, whole(""), "meta", parsePython},
		{10, batches(""), "batches.meta", parsePython},
	}
}

// restrict returns the layout with only those of its files that exist, and
// whether there are any.
func (l layout) restrict(exists func(string) bool) (layout, bool) {
	var splits []splitFiles
	for _, s := range l.splits {
		var present []string
		for _, name := range s.files {
			if exists(name) {
				present = append(present, name)
			}
		}
		if present != nil {
			splits = append(splits, splitFiles{s.split, present})
		}
	}
	l.splits = splits
	return l, splits != nil
}

// bySize returns the layout, or CIFAR-10's where the files are called like
// CIFAR-100's and have CIFAR-10's records. What names CIFAR-100's classes and lies
// beside them is then not theirs.
func (l layout) bySize(f folder) layout {
	if l.classes != 100 || filepath.Ext(l.splits[0].files[0]) != ".bin" {
		return l
	}
	for _, s := range l.splits {
		for _, name := range s.files {
			info, err := os.Stat(f.path(name))
			if err != nil || info.Size()%binaryRecord(100) == 0 || info.Size()%binaryRecord(10) != 0 {
				return l
			}
		}
	}
	l.classes, l.names = 10, "batches.meta.txt"
	return l
}

// subfolders are the folders that the published archives unpack to. A path to
// the folder that holds one of them will do.
func subfolders() []string {
	return []string{"cifar-100-binary", "cifar-100-python", "cifar-10-batches-bin", "cifar-10-batches-py"}
}

// Detect reports whether path looks like CIFAR data: a folder that holds files
// of one of the forms, a gzip archive, a .bin file or a pickle. It reads no more
// than a few bytes.
func Detect(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	if info.IsDir() {
		_, _, ok := findFolder(path)
		return ok
	}
	return isGzip(path) || isRecordFile(path)
}

// hasPrefix reports whether the file starts with the given bytes.
func hasPrefix(path string, prefix ...byte) bool {
	start, err := dataset.Head(path, len(prefix))
	return err == nil && bytes.Equal(start, prefix)
}

func isGzip(path string) bool { return hasPrefix(path, 0x1f, 0x8b) }

// isRecordFile reports whether a file is a .bin file or a pickle (whose first
// instruction is PROTO).
func isRecordFile(path string) bool {
	return filepath.Ext(path) == ".bin" && hasPrefix(path) || hasPrefix(path, 0x80)
}

// findFolder returns the folder with the files of a form, dir itself or one of
// the published subfolders, and the form.
func findFolder(dir string) (folder, layout, bool) {
	for _, sub := range append([]string{"."}, subfolders()...) {
		f := folder(filepath.Join(dir, sub))
		for _, l := range layouts() {
			if l, ok := l.restrict(f.exists); ok {
				return f, l.bySize(f), true
			}
		}
	}
	return "", layout{}, false
}

// Open opens CIFAR data: a folder, a .tar.gz or a single file. Images are read
// when a split is asked for, and kept in memory: 3 KiB each. Errors are of type
// [*dataset.Error].
func Open(path string) (dataset.Source, error) {
	const hint = "expected the files of CIFAR-10 or CIFAR-100 (data_batch_1.bin, test.bin, …, or their Python forms), a .tar.gz of them, or one of them"
	info, err := os.Stat(path)
	if err != nil {
		return nil, &dataset.Error{Path: path, Msg: "cannot open the data", Hint: hint, Err: err}
	}
	src := &source{name: filepath.Base(path)}
	found := false
	switch {
	case info.IsDir():
		src.files, src.layout, found = findFolder(path)
	case isGzip(path):
		a, err := openArchive(path)
		if err != nil {
			return nil, err
		}
		src.files = a
		for _, l := range layouts() {
			if src.layout, found = l.restrict(a.exists); found {
				break
			}
		}
	default:
		src.files = folder(filepath.Dir(path))
		src.layout, found = single(path, info.Size())
	}
	if !found {
		return nil, &dataset.Error{Path: path, Msg: "not CIFAR data", Hint: hint}
	}
	if err := src.readNames(); err != nil {
		return nil, err
	}
	src.sets = make([]func() (*records, error), len(src.layout.splits))
	for i, s := range src.layout.splits {
		src.sets[i] = sync.OnceValues(func() (*records, error) { return src.read(s) })
	}
	return src, nil
}

// single returns a layout for one file by itself: by its name or else, as split
// "all", by its form and size.
func single(path string, size int64) (layout, bool) {
	base := filepath.Base(path)
	for _, l := range layouts() {
		if l, ok := l.restrict(func(name string) bool { return name == base }); ok {
			return l.bySize(folder(filepath.Dir(path))), true
		}
	}
	l := layout{splits: []splitFiles{{dataset.All, []string{base}}}}
	switch {
	case !isRecordFile(path):
		return layout{}, false
	case filepath.Ext(path) != ".bin":
		l.classes, l.parse = 0, parsePython // its keys tell
	case size%binaryRecord(10) == 0:
		l.classes, l.parse = 10, parseBinary
	default:
		l.classes, l.parse = 100, parseBinary
	}
	return l, true
}

// source is CIFAR data in files.
type source struct {
	name    string
	files   files
	layout  layout
	classes []string
	sets    []func() (*records, error) // by split
}

func (s *source) Name() string { return s.name }

func (s *source) Splits() []string {
	names := make([]string, len(s.layout.splits))
	for i, split := range s.layout.splits {
		names[i] = split.split
	}
	return names
}

func (s *source) Split(name string) (dataset.Set, error) {
	i, err := dataset.SplitIndex(s, name)
	if err != nil {
		return nil, err
	}
	set, err := s.sets[i]()
	if err != nil {
		return nil, err // not the nil *records in an interface
	}
	return set, nil
}

// read reads the files of a split.
func (s *source) read(split splitFiles) (*records, error) {
	contents, err := s.files.read(split.files)
	if err != nil {
		return nil, err
	}
	all := &records{name: split.split, classes: s.classes, count: s.layout.classes}
	for i, data := range contents {
		part, err := s.layout.parse(data, s.layout.classes)
		if err != nil {
			return nil, s.fail(split.files[i], data, err)
		}
		contents[i] = nil
		all.add(part)
	}
	return all, nil
}

// readNames reads the class names, if their file is present.
func (s *source) readNames() error {
	name := s.layout.names
	if name == "" || !s.files.exists(name) {
		return nil
	}
	contents, err := s.files.read([]string{name})
	if err != nil {
		return err
	}
	names := pythonNames
	if filepath.Ext(name) == ".txt" {
		names = dataset.ParseLines
	}
	s.classes, err = names(contents[0])
	if n := len(s.classes); err == nil && n != s.layout.classes {
		err = fmt.Errorf("it has %d class names: expected %d", n, s.layout.classes)
	}
	if err != nil {
		return s.fail(name, contents[0], err)
	}
	return nil
}

// fail says which file is wrong and what might be the matter with it.
func (s *source) fail(name string, data []byte, err error) error {
	hint := "download the data again, or compare its checksum"
	if bytes.HasPrefix(data, []byte("version https://git-lfs")) {
		hint = "this is a Git LFS pointer, not the data: run git lfs pull"
	}
	return &dataset.Error{Path: s.files.path(name), Msg: "cannot read the data", Hint: hint, Err: err}
}
