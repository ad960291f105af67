package dataset

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	_ "image/jpeg" // registers the decoders of the formats that folders hold
	_ "image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Limits on one image, so that a small file cannot ask for all the memory.
const (
	maxImagePixels = 1 << 26 // 64 Mpx, 256 MiB decoded
	maxImageBytes  = 1 << 28
)

// folder is a source of class folders.
type folder struct {
	path    string
	classes []string
	splits  []folderSplit
}

// folderSplit is a folder whose sub-folders are classes.
type folderSplit struct {
	name string
	path string
	read func() (Set, error)
}

// Open reads a folder of class folders, as torchvision's ImageFolder does:
// classes are numbered in the order of their sorted names and hold PNG and JPEG
// images, sorted, at any depth. The class folders lie in train, test or
// validation folders (by any of their usual names), or else make up a single
// split called "all". Only names are read until a split, and then an image, is
// asked for.
//
// All splits share one numbering, that of the training split where there is
// one: a split may lack a class, but not add one.
func Open(path string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot open the data", Hint: "--data takes a CIFAR folder or archive, or a folder of class folders", Err: err}
	}
	if !info.IsDir() {
		return nil, &Error{Path: path, Msg: "not a data set in a known form", Hint: "--data takes a CIFAR folder or archive (.bin, Python pickle, .tar.gz), or a folder of class folders"}
	}
	f := &folder{path: path}
	entries, err := subfolders(path)
	if err != nil {
		return nil, err
	}
	for _, name := range entries {
		switch CanonicalSplit(name) {
		case Train, Validation, Test:
		default:
			continue
		}
		// A class may be called "train" as well: then it holds images, not folders.
		inside, err := subfolders(filepath.Join(path, name))
		if err != nil {
			return nil, err
		}
		if len(inside) > 0 {
			f.add(CanonicalSplit(name), filepath.Join(path, name))
		}
	}
	if len(f.splits) == 0 {
		if len(entries) == 0 {
			return nil, &Error{Path: path, Msg: "holds no class folders", Hint: "put the images of each class in a folder of its own: " + filepath.Join(path, "CLASS", "IMAGE.png")}
		}
		f.add(All, path)
	}
	if err := f.number(); err != nil {
		return nil, err
	}
	return f, nil
}

// add appends the split whose class folders lie in path.
func (f *folder) add(name, path string) {
	f.splits = append(f.splits, folderSplit{
		name: name,
		path: path,
		read: sync.OnceValues(func() (Set, error) { return f.list(name, path) }),
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
			return &Error{Path: f.path, Msg: fmt.Sprintf("two folders for the %s split: %s and %s", split.name, filepath.Base(f.splits[i-1].path), filepath.Base(split.path)), Hint: "keep one of them"}
		}
	}
	lists := make([][]string, len(f.splits))
	for i, split := range f.splits {
		var err error
		if lists[i], err = subfolders(split.path); err != nil {
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
					Path: filepath.Join(f.splits[i].path, class),
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
	for _, s := range f.splits {
		if s.name == CanonicalSplit(name) {
			return s.read()
		}
	}
	return nil, UnknownSplit(f, name)
}

// list finds the images of a split.
func (f *folder) list(name, path string) (Set, error) {
	present, err := subfolders(path)
	if err != nil {
		return nil, err
	}
	set := &folderSet{name: name, classes: f.classes}
	for _, class := range present {
		label, _ := slices.BinarySearch(f.classes, class)
		files, err := images(filepath.Join(path, class))
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

// subfolders returns the sorted names of the folders in path, links to folders
// included and hidden ones left out.
func subfolders(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot list the folder", Err: err}
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(path, e.Name()))
			isDir = err == nil && info.IsDir()
		}
		if isDir {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// images returns the paths of the images in a class folder, those of a folder
// before those of its sub-folders.
func images(class string) ([]string, error) {
	root := class
	if resolved, err := filepath.EvalSymlinks(class); err == nil {
		root = resolved // WalkDir does not follow a link, not even at the root
	}
	var found []string
	var other string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(d.Name(), ".") && path != root:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		switch strings.ToLower(filepath.Ext(path)) {
		case ".png", ".jpg", ".jpeg":
			found = append(found, path)
		case ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp":
			other = path
		}
		return nil
	})
	if err != nil {
		return nil, &Error{Path: class, Msg: "cannot list the class folder", Err: err}
	}
	if other != "" {
		// Leaving it out in silence would measure another data set.
		return nil, &Error{Path: other, Msg: "an image that is neither PNG nor JPEG", Hint: "convert it, or move it out of the folder"}
	}
	if len(found) == 0 {
		return nil, &Error{Path: class, Msg: "class folder without images", Hint: "add its PNG or JPEG images, or remove the folder"}
	}
	slices.SortFunc(found, func(a, b string) int {
		return cmp.Or(cmp.Compare(filepath.Dir(a), filepath.Dir(b)), cmp.Compare(a, b))
	})
	return found, nil
}

// folderSet is a split of a folder.
type folderSet struct {
	name    string
	classes []string
	files   []string
	labels  []int
}

func (s *folderSet) Name() string       { return s.name }
func (s *folderSet) Len() int           { return len(s.files) }
func (s *folderSet) Label(i int) int    { return s.labels[i] }
func (s *folderSet) Classes() []string  { return s.classes }
func (s *folderSet) where(i int) string { return s.files[i] }

func (s *folderSet) Image(i int) (image.Image, error) { return decode(s.files[i]) }

// decode reads an image file, having looked at its size first.
func decode(path string) (image.Image, error) {
	const hint = "replace or remove the file"
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot read the image", Hint: hint, Err: err}
	}
	if info.Size() > maxImageBytes {
		return nil, &Error{Path: path, Msg: fmt.Sprintf("image file of %d bytes, more than the %d allowed", info.Size(), maxImageBytes), Hint: hint}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot read the image", Hint: hint, Err: err}
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot decode the image", Hint: hint, Err: err}
	}
	if w, h := config.Width, config.Height; w <= 0 || h <= 0 || w > maxImagePixels/h {
		return nil, &Error{Path: path, Msg: fmt.Sprintf("image of %d×%d pixels, more than the %d allowed", w, h, maxImagePixels), Hint: hint}
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, &Error{Path: path, Msg: "cannot decode the image", Hint: hint, Err: err}
	}
	return img, nil
}
