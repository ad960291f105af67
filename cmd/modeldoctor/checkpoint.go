package main

import (
	"fmt"
	"os"

	"github.com/modeldoctor/modeldoctor/pol"

	"github.com/urfave/cli/v2"
)

// prepareCheckpoint makes the training save itself, and go on from what it has
// saved, as the flags say.
func (t *treatment) prepareCheckpoint(c *cli.Context, to target) error {
	save, resume := c.String("checkpoint"), c.String("resume")
	if save == "" && resume == "" {
		return nil
	}
	if len(t.plan.Update) == 0 {
		return usage("recipe %s trains nothing: there is nothing to save", t.recipe.Name).withHint("leave --checkpoint and --resume out")
	}
	model, err := t.model.SHA256()
	if err != nil {
		return err
	}
	t.options.Identity = map[string]string{"model": model, "output": t.network.Output, "no-fuse": fmt.Sprint(c.Bool("no-fuse")), "dequantize": fmt.Sprint(t.dequantize)}
	for name, set := range map[string]*examples{"train": t.train, "val": t.validation} {
		if t.options.Identity[name], err = set.SHA256(); err != nil {
			return err
		}
	}
	if save != "" {
		if sameFile(save, t.path) || sameFile(save, to.path) || sameFile(save, to.backup) {
			return usage("--checkpoint: %s is the model, its backup or the file to write", save)
		}
		if err := checkPlace("--checkpoint", save); err != nil {
			return err
		}
		if _, err := os.Stat(save); err == nil {
			if _, err := readState(save); err != nil {
				return usage("--checkpoint: %s is there and holds something else than a saved training", save).withHint("choose another file")
			}
		}
		t.options.Save = func(s *pol.State) error { return saveState(save, s) }
	}
	if resume != "" {
		t.options.Resume, err = readState(resume)
	}
	return err
}

func saveState(path string, s *pol.State) error {
	if err := writeFile(path, s.Write); err != nil {
		return &failure{code: exitInternal, msg: fmt.Sprintf("the training cannot be saved to %s: %v", path, err), hint: "make room, or choose another place with --checkpoint", err: err}
	}
	return nil
}

func readState(path string) (*pol.State, error) {
	const hint = "give a file that --checkpoint has written"
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(fmt.Errorf("--resume: %w", err), hint)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, unreadable(fmt.Errorf("--resume: %w", err), hint)
	}
	s, err := pol.ReadState(f, info.Size())
	if err != nil {
		return nil, unreadable(fmt.Errorf("--resume: %s: %w", path, err), hint)
	}
	return s, nil
}
