package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/modeldoctor/modeldoctor/internal/atomicfile"

	"github.com/urfave/cli/v2"
)

// targetFlags say where a treated model goes. They belong to one call and stand
// on the command line only.
func targetFlags() []cli.Flag {
	out := &cli.StringFlag{Name: "out", Aliases: []string{"o"}, Usage: "`OUT` the file to write", Category: categoryTarget}
	flag := func(name, help string) cli.Flag {
		return &cli.BoolFlag{Name: name, Usage: help, Category: categoryTarget, DisableDefaultText: true}
	}
	return []cli.Flag{
		out,
		flag("overwrite", "write to OUT although there is a file already, which is lost"),
		flag("in-place", "write to MODEL itself and keep the original as MODEL.bak"),
		flag("force", "write whatever the hold-out images say; the file's metadata say so"),
		flag("trial", "treat and report, write nothing"),
		flag("dry-run", "print the plan and what it will cost, do nothing"),
		&cli.StringFlag{Name: "checkpoint", Usage: "`FILE` save the training here after each epoch, or a search for layers after each trial", Category: categoryTarget},
		&cli.StringFlag{Name: "resume", Usage: "`FILE` go on from what --checkpoint has saved, to the same result", Category: categoryTarget},
	}
}

// target is where a treated model goes.
type target struct {
	path   string // empty with trial or dryRun
	backup string // empty unless in place
	force  bool
	trial  bool
	dryRun bool
	// overwrite says that what is at path may be lost.
	overwrite bool
}

// readTarget reads the flags of the target and looks at the place before the
// work begins.
func readTarget(c *cli.Context, model string) (target, error) {
	to := target{path: c.String("out"), force: c.Bool("force"), trial: c.Bool("trial"), dryRun: c.Bool("dry-run")}
	inPlace, overwrite := c.Bool("in-place"), c.Bool("overwrite")
	switch {
	case overwrite && to.path == "":
		return to, usage("--overwrite concerns the file that -o names, and none is named").withHint("--in-place replaces the model itself and keeps a backup")
	case to.trial || to.dryRun:
		if to.path != "" || inPlace {
			return to, usage("nothing is written with --trial and --dry-run").withHint("leave out either them or -o and --in-place")
		}
		return to, nil
	case inPlace && to.path != "":
		return to, usage("-o and --in-place exclude each other")
	case inPlace:
		to.path, to.backup = model, model+".bak"
		if _, err := os.Lstat(to.backup); !errors.Is(err, fs.ErrNotExist) {
			return to, usage("--in-place: the backup %s is there already", to.backup).withHint("move it away, or write to another file with -o")
		}
	case to.path == "":
		return to, usage("fix: the file to write is missing").withHint("modeldoctor fix %s -o fixed.onnx; --trial writes nothing", model)
	case to.path == "-":
		return to, usage("-o: a model is not written to stdout").withHint("give the name of a file; ./- is a file called -")
	case sameFile(to.path, model):
		return to, usage("-o: %s is the model itself", to.path).withHint("write to another file, or use --in-place, which keeps a backup")
	}
	if err := checkWritable("-o", to.path); err != nil {
		return to, err
	}
	if _, err := os.Lstat(to.path); !inPlace && !overwrite && !errors.Is(err, fs.ErrNotExist) {
		return to, usage("-o: %s is there already", to.path).withHint("choose another file, or replace this one with --overwrite")
	}
	to.overwrite = overwrite
	return to, nil
}

// checkWritable returns why a file cannot be made at path.
func checkWritable(flag, path string) error {
	if info, err := os.Stat(path); err == nil {
		switch {
		case !info.Mode().IsRegular():
			return usage("%s: %s is not a regular file", flag, path)
		case info.Mode()&0o222 == 0:
			return usage("%s: %s is there and read-only", flag, path).withHint("choose another file, or make it writable")
		}
	}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case err != nil:
		return usage("%s: %v", flag, err).withHint("make the folder first")
	case !info.IsDir():
		return usage("%s: %s is not a folder", flag, folder)
	}
	probe, err := atomicfile.Create(path)
	if err != nil {
		return usage("%s: nothing can be written in %s: %v", flag, folder, err).withHint("choose another folder, or make this one writable")
	}
	return probe.Discard()
}

// sameFile reports whether two paths lead to one file, or would once it is
// there.
func sameFile(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	if err1 == nil && err2 == nil {
		return os.SameFile(x, y)
	}
	return canonical(a) == canonical(b)
}

// canonical is a path without links in its folder and without the working
// directory.
func canonical(path string) string {
	folder := filepath.Dir(path)
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	if absolute, err := filepath.Abs(folder); err == nil {
		folder = absolute
	}
	return filepath.Join(folder, filepath.Base(path))
}
