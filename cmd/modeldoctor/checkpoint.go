package main

import (
	"fmt"
	"os"

	"github.com/modeldoctor/modeldoctor/cmd/modeldoctor/internal/examples"
	"github.com/modeldoctor/modeldoctor/pol"
)

// checkpoints say where a training saves itself, and what it goes on from.
type checkpoints struct {
	save   string // empty: nowhere
	resume string // empty: from the beginning
	saved  func() // is called each time that it has saved itself
}

// withCheckpoints returns the treatment's options so completed that the training
// saves itself, and goes on from what it has saved.
func (t *treatment) withCheckpoints(opt fixOptions) (pol.Options, error) {
	options, save, resume := t.options, opt.checkpoints.save, opt.checkpoints.resume
	if save == "" && resume == "" || opt.search.candidates > 0 {
		return options, nil // a search keeps its trials, and the winner is trained anew
	}
	if !opt.trains() {
		return options, usage("recipe %s trains nothing: there is nothing to save", opt.recipe.Name).withHint("leave --checkpoint and --resume out")
	}
	var err error
	if options.Identity, err = t.identity(opt.model.NoFuse); err != nil {
		return options, err
	}
	if save != "" {
		if err := checkCheckpoint(save, opt, "training", func() error { _, err := readState(save); return err }); err != nil {
			return options, err
		}
		options.Save = func(s *pol.State) error {
			err := saveState(save, s)
			if err == nil {
				opt.checkpoints.saved()
			}
			return err
		}
	}
	if resume != "" {
		options.Resume, err = readState(resume)
	}
	return options, err
}

// identity names what a training depends on besides its options.
func (t *treatment) identity(noFuse bool) (map[string]string, error) {
	model, err := t.network.Model.SHA256()
	if err != nil {
		return nil, err
	}
	id := map[string]string{"model": model, "output": t.network.Output, "no-fuse": fmt.Sprint(noFuse), "dequantize": fmt.Sprint(t.dequantize), "device": t.arithmetic()}
	for name, set := range map[string]*examples.Set{"train": t.subject.train, "val": t.subject.validation} {
		if id[name], err = set.SHA256(); err != nil {
			return nil, err
		}
	}
	return id, nil
}

// checkCheckpoint returns why what is done must not be saved to path. read returns an
// error where something else is there.
func checkCheckpoint(path string, opt fixOptions, what string, read func() error) error {
	if sameFile(path, opt.path) || sameFile(path, opt.target.path) || sameFile(path, opt.target.backup) {
		return usage("--checkpoint: %s is the model, its backup or the file to write", path)
	}
	if err := checkWritable("--checkpoint", path); err != nil {
		return err
	}
	if _, err := os.Stat(path); err == nil {
		if err := read(); err != nil {
			return usage("--checkpoint: %s is there and holds something else than a %s that this version has saved", path, what).withHint("choose another file")
		}
	}
	return nil
}

func saveState(path string, s *pol.State) error {
	if err := writeFile(path, s.Write); err != nil {
		return &failure{code: exitInternal, msg: fmt.Sprintf("the training cannot be saved to %s: %v", path, err), hint: "make room, or choose another place with --checkpoint", err: err}
	}
	return nil
}

func readState(path string) (*pol.State, error) {
	wrong := func(err error) error {
		return unreadable(fmt.Errorf("--resume: %w", err), "give a file that --checkpoint has written")
	}
	f, err := openSaved(path)
	if err != nil {
		return nil, wrong(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, wrong(err)
	}
	s, err := pol.ReadState(f, info.Size())
	if err != nil {
		return nil, wrong(fmt.Errorf("%s: %w", path, err))
	}
	return s, nil
}
