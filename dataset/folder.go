package dataset

import (
	"archive/zip"
	"cmp"
	"errors"
	"fmt"
	"image"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
)

// folder is a source of class folders, on disk or in a ZIP archive.
type folder struct {
	fileTree
	classes []string
	splits  []folderSplit
}

// folderSplit is a folder whose sub-folders are classes.
type folderSplit struct {
	name string
	path string // within the files
	read func() (Set, error)
}

const openHint = "--data takes a CIFAR folder or archive (.bin, Python pickle, .tar.gz), MNIST's IDX files, an .npz of arrays, or a folder of class folders, or a .zip of one"

// Open reads a folder of class folders, as torchvision's ImageFolder does:
// classes are numbered in the order of their sorted names and hold images, sorted,
// at any depth. The class folders lie in train, test or validation folders (by any
// of their usual names, see [CanonicalSplit]), or else make up a single split
// called "all". Folders that hold nothing but one folder, as archives unpack to,
// are passed through. A .zip of such a folder is read as it is. Only names are read
// until a split, and then an image, is asked for.
//
// All splits share one numbering, that of the training split where there is
// one: a split may lack a class, but not add one.
func Open(path string) (Source, error) {
	f := &folder{fileTree: fileTree{path: path}}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, &Error{Path: path, Msg: "cannot open the data", Hint: openHint, Err: err}
	case info.IsDir():
		f.files = os.DirFS(path)
	case isZIP(path):
		// Closed by the garbage collector: a source lasts as long as the program.
		archive, err := zip.OpenReader(path)
		if err != nil {
			return nil, &Error{Path: path, Msg: "cannot read the archive", Hint: "download it again, or unpack it and give the folder", Err: err}
		}
		f.files = archive
	default:
		return nil, &Error{Path: path, Msg: "not a data set in a known form", Hint: openHint}
	}
	if err := f.findSplits(); err != nil {
		return nil, err
	}
	return f, f.number()
}

// isZIP reports whether a file is a ZIP archive, by its first bytes.
func isZIP(path string) bool {
	start, err := Head(path, 4)
	return err == nil && string(start) == "PK\x03\x04"
}

// Head returns the first bytes of a regular file, at most n. Others, such as pipes,
// which may wait for ever, are not opened.
func Head(path string, n int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	start := make([]byte, n)
	n, err = io.ReadFull(f, start)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return start[:n], err
}

// findSplits finds the folders that hold classes.
func (f *folder) findSplits() error {
	root, entries, err := f.unwrap(".", "")
	if err != nil {
		return err
	}
	for _, name := range entries {
		if !isSplit(name) {
			continue
		}
		// A class may be called "train" as well: then it holds images, not folders.
		inside, classes, err := f.unwrap(path.Join(root, name), CanonicalSplit(name))
		if err != nil {
			return err
		}
		if len(classes) > 0 {
			f.add(CanonicalSplit(name), inside)
		}
	}
	if len(f.splits) > 0 {
		return nil
	}
	if len(entries) == 0 {
		return &Error{Path: f.path, Msg: "holds no class folders", Hint: "put the images of each class in a folder of its own: " + filepath.Join(f.path, "CLASS", "IMAGE.png")}
	}
	if err := f.refuseSplits(root, entries); err != nil {
		return err
	}
	f.add(All, root)
	return nil
}

// isSplit reports whether a folder's name is that of a split.
func isSplit(name string) bool {
	return slices.Contains([]string{Train, Validation, Test}, CanonicalSplit(name))
}

// refuseSplits returns an error where folders look like splits under names that
// are not known: the same class folders lie in several of them, and no images
// beside these. Taken for classes, they would give a diagnosis of nothing.
func (f *folder) refuseSplits(root string, entries []string) error {
	in := map[string][]string{} // the folders that hold a class of that name
	for _, name := range entries {
		inside, err := f.subfolders(path.Join(root, name))
		if err != nil {
			return err
		}
		if f.holdsImages(path.Join(root, name)) {
			continue
		}
		for _, class := range inside {
			in[class] = append(in[class], name)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(in)) {
		if folders := in[class]; len(folders) > 1 {
			return &Error{
				Path: f.path,
				Msg:  fmt.Sprintf("its folders look like splits, not like classes: %s and %s both have a folder %s", folders[0], folders[1], class),
				Hint: "name them train, val and test, or give the one to use: --data " + filepath.Join(f.path, filepath.FromSlash(path.Join(root, folders[0]))),
			}
		}
	}
	return nil
}

// add appends the split whose class folders lie in at.
func (f *folder) add(name, at string) {
	f.splits = append(f.splits, folderSplit{
		name: name,
		path: at,
		read: sync.OnceValues(func() (Set, error) { return f.list(name, at) }),
	})
}

// number reads the class names of all splits and settles the numbering.
func (f *folder) number() error {
	order := []string{Train, Validation, Test, All}
	slices.SortStableFunc(f.splits, func(a, b folderSplit) int {
		return cmp.Compare(slices.Index(order, a.name), slices.Index(order, b.name))
	})
	for i, split := range f.splits {
		if i > 0 && f.splits[i-1].name == split.name {
			return &Error{Path: f.path, Msg: fmt.Sprintf("two folders for the %s split: %s and %s", split.name, path.Base(f.splits[i-1].path), path.Base(split.path)), Hint: "keep one of them"}
		}
	}
	lists := make([][]string, len(f.splits))
	for i, split := range f.splits {
		var err error
		if lists[i], err = f.subfolders(split.path); err != nil {
			return err
		}
	}
	// Training data define the classes; without them, the fullest list does.
	f.classes = lists[0]
	if f.splits[0].name != Train {
		f.classes = slices.MaxFunc(lists, func(a, b []string) int { return cmp.Compare(len(a), len(b)) })
	}
	for i, list := range lists {
		for _, class := range list {
			if _, ok := slices.BinarySearch(f.classes, class); !ok {
				return &Error{
					Path: f.where(path.Join(f.splits[i].path, class)),
					Msg:  "a class that the other splits do not have",
					Hint: "labels are numbered by sorted class names, so all splits must share them; remove the folder, or add it to the training split",
				}
			}
		}
	}
	return nil
}

func (f *folder) Name() string { return filepath.Base(f.path) }

func (f *folder) Splits() []string {
	names := make([]string, len(f.splits))
	for i, s := range f.splits {
		names[i] = s.name
	}
	return names
}

func (f *folder) Split(name string) (Set, error) {
	i, err := SplitIndex(f, name)
	if err != nil {
		return nil, err
	}
	return f.splits[i].read()
}

// list finds the images of a split.
func (f *folder) list(name, at string) (Set, error) {
	present, err := f.subfolders(at)
	if err != nil {
		return nil, err
	}
	set := &folderSet{name: name, folder: f}
	for _, class := range present {
		label, _ := slices.BinarySearch(f.classes, class)
		files, err := f.images(path.Join(at, class))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			set.files = append(set.files, file)
			set.labels = append(set.labels, label)
		}
	}
	return set, nil
}

// folderSet is a split of a folder.
type folderSet struct {
	*folder
	name   string
	files  []string
	labels []int
}

func (s *folderSet) Name() string       { return s.name }
func (s *folderSet) Len() int           { return len(s.files) }
func (s *folderSet) Label(i int) int    { return s.labels[i] }
func (s *folderSet) Classes() []string  { return s.classes }
func (s *folderSet) where(i int) string { return s.folder.where(s.files[i]) }

// Image reads an image file, having looked at its kind and size first.
func (s *folderSet) Image(i int) (image.Image, error) {
	img, err := s.open(s.files[i])
	if err == nil {
		return img, nil
	}
	hint := "replace or remove the file, or leave out what cannot be read with --skip-bad-images"
	if err.Error() == lfsPointer {
		hint = lfsHint
	}
	return nil, &Error{Path: s.where(i), Msg: "cannot use the image", Hint: hint, Err: err}
}

func (s *folderSet) open(name string) (image.Image, error) {
	info, err := fs.Stat(s.folder.files, name)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file, and not opened")
	case info.Size() > maxImageBytes:
		return nil, fmt.Errorf("a file of %d bytes, more than the %d allowed", info.Size(), maxImageBytes)
	}
	f, err := s.folder.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// What an archive says of a size may be a lie.
	data, err := io.ReadAll(io.LimitReader(f, maxImageBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxImageBytes {
		return nil, fmt.Errorf("a file of more than the %d bytes allowed", maxImageBytes)
	}
	return Decode(data)
}
