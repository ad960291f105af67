package dataset

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// fileTree is a folder of folders, on disk or in a ZIP archive.
type fileTree struct {
	path  string // of the folder or archive
	files fs.FS  // within it
}

// where is what a path within the files is called in an error.
func (f *fileTree) where(name string) string {
	return filepath.Join(f.path, filepath.FromSlash(name))
}

// subfolders returns the sorted names of the folders in a folder, links to folders
// included, and hidden ones and what macOS adds to archives left out.
func (f *fileTree) subfolders(at string) ([]string, error) {
	entries, err := fs.ReadDir(f.files, at)
	if err != nil {
		return nil, &Error{Path: f.where(at), Msg: "cannot list the folder", Err: err}
	}
	var names []string
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		name := path.Join(at, e.Name())
		isDir, err := f.leadsToFolder(name, e)
		if err != nil { // a class or a split may be behind it
			return nil, &Error{Path: f.where(name), Msg: "a link that leads nowhere", Hint: "mount or restore what it leads to, or remove the link", Err: err}
		}
		if isDir {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names) // a ZIP archive has an order of its own
	return names, nil
}

// leadsToFolder reports whether an entry is a folder, or a link to one.
func (f *fileTree) leadsToFolder(name string, e fs.DirEntry) (bool, error) {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir(), nil
	}
	info, err := fs.Stat(f.files, name)
	return err == nil && info.IsDir(), err
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") || name == "__MACOSX" }

// holdsImages reports whether images lie in a folder itself.
func (f *fileTree) holdsImages(at string) bool {
	entries, err := fs.ReadDir(f.files, at)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && !hidden(e.Name()) && kindOf(e.Name()) != noImage
	})
}

// kind is what a file is by the ending of its name.
type kind int

const (
	noImage    kind = iota
	readImage       // a format that can be read
	otherImage      // an image of another format
)

func kindOf(name string) kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp":
		return readImage
	case ".pgm", ".ppm", ".pnm", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".svg", ".ico", ".tga", ".dcm":
		return otherImage
	}
	return noImage
}

// images returns the paths of the images in a class folder, those of a folder
// before those of its sub-folders. Links to folders are followed, as torchvision does.
func (f *fileTree) images(class string) ([]string, error) {
	var found []string
	var other string
	err := f.walk(class, nil, func(name string) {
		switch kindOf(name) {
		case readImage:
			found = append(found, name)
		case otherImage:
			other = name
		}
	})
	if err != nil {
		return nil, err
	}
	if other != "" {
		// Leaving it out in silence would measure another data set.
		return nil, &Error{Path: f.where(other), Msg: "an image in a format that cannot be read", Hint: "convert it to PNG, or move it out of the folder"}
	}
	if len(found) == 0 {
		return nil, &Error{Path: f.where(class), Msg: "class folder without images", Hint: "add its images (PNG, JPEG, WebP, GIF, BMP, TIFF), or remove the folder"}
	}
	slices.SortFunc(found, func(a, b string) int {
		return cmp.Or(cmp.Compare(path.Dir(a), path.Dir(b)), cmp.Compare(a, b))
	})
	return found, nil
}

// walk visits the files in a folder, at any depth, but for hidden ones. The folders
// above it are those that it was reached by.
func (f *fileTree) walk(at string, above []fs.FileInfo, visit func(name string)) error {
	info, err := fs.Stat(f.files, at)
	if err != nil {
		return &Error{Path: f.where(at), Msg: "cannot list the class folder", Err: err}
	}
	if slices.ContainsFunc(above, func(a fs.FileInfo) bool { return os.SameFile(a, info) }) {
		return &Error{Path: f.where(at), Msg: "a link to a folder that it lies in", Hint: "remove the link"}
	}
	entries, err := fs.ReadDir(f.files, at)
	if err != nil {
		return &Error{Path: f.where(at), Msg: "cannot list the class folder", Err: err}
	}
	above = append(above, info)
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		name := path.Join(at, e.Name())
		// A link that leads nowhere is an image that cannot be read, if its name is one's.
		if isDir, _ := f.leadsToFolder(name, e); !isDir {
			visit(name)
			continue
		}
		if err := f.walk(name, above, visit); err != nil {
			return err
		}
	}
	return nil
}

// unwrap passes through folders that hold nothing but one folder of folders, as
// archives often unpack to, and returns where it ends and the folders there. A
// folder of a split is not passed through, but within that split.
func (f *fileTree) unwrap(at, within string) (inside string, entries []string, err error) {
	for {
		if entries, err = f.subfolders(at); err != nil || len(entries) != 1 {
			return at, entries, err
		}
		next := path.Join(at, entries[0])
		deeper, err := f.subfolders(next)
		if err != nil {
			return at, nil, err
		}
		other := isSplit(entries[0]) && CanonicalSplit(entries[0]) != within
		if len(deeper) == 0 || other || f.holdsImages(at) || f.holdsImages(next) {
			return at, entries, nil
		}
		at = next
	}
}
