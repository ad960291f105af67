package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/onnx"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// fromStdin stands for the model on standard input.
const fromStdin = "-"

// argumentPaths are the files that the arguments name, each once; what says of what
// kind. Patterns are expanded here, too: not every shell does, and quoted ones none.
func argumentPaths(c *cli.Context, what string) ([]string, error) {
	if c.NArg() == 0 {
		_, err := oneArgument(c, what)
		return nil, err
	}
	var paths []string
	for _, argument := range c.Args().Slice() {
		found := []string{argument}
		if _, err := os.Lstat(argument); err != nil && strings.ContainsAny(argument, "*?[") {
			if found, err = filepath.Glob(argument); err != nil {
				return nil, usage("%s: %v", argument, err).withHint("in a pattern * and ? stand for any characters and one, [a-z] for a range")
			}
			if len(found) == 0 {
				return nil, usage("%s: no file has such a name", argument).withHint("check the pattern, and the folder that the command runs in")
			}
		}
		for _, path := range found {
			if !slices.ContainsFunc(paths, func(other string) bool { return other == path || path != fromStdin && sameFile(other, path) }) {
				paths = append(paths, path)
			}
		}
	}
	return paths, nil
}

// leavesStdin returns an error where a flag names standard input and the model comes
// from there.
func leavesStdin(c *cli.Context, paths []string) error {
	if !slices.Contains(paths, fromStdin) {
		return nil
	}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		file, ok := f.(*cli.StringFlag)
		if path := c.String(name); ok && file.TakesFile && path != "" && isStdin(path, c.App.Reader) {
			return usage("--%s: %s is standard input, and the model comes from there", name, path).withHint("give the file by its name")
		}
	}
	return nil
}

// openModel opens the model of a file, or the one on standard input.
func openModel(path string, stdin io.Reader) (*onnx.Model, error) {
	if path != fromStdin {
		return onnx.Open(path)
	}
	if f, ok := stdin.(*os.File); ok {
		const hint = "modeldoctor check - < model.onnx"
		if term.IsTerminal(int(f.Fd())) {
			return nil, usage("-: standard input is a terminal, and a model is expected there").withHint(hint)
		}
		if info, err := f.Stat(); err != nil {
			return nil, usage("-: there is no standard input: %v", err).withHint(hint) // <&-
		} else if info.IsDir() {
			return nil, usage("-: standard input is a folder, and a model is expected there").withHint(hint)
		}
	}
	return onnx.Read(stdin, "")
}

// checkSeveral diagnoses models one after the other and reports them together. One
// that cannot be diagnosed is in the report, with the reason. After an interruption the
// report is of those before it.
func checkSeveral(ctx context.Context, opt checkOptions) error {
	con := opt.run.console
	var all report.Checks
	var interrupt error
	for _, path := range opt.paths {
		con.finish()
		var result *report.Check
		err := interrupt
		if interrupt == nil {
			result, err = checkModel(ctx, path, opt)
		}
		if result != nil {
			err = outcome(result, err)
		}
		one := report.CheckedModel{Path: path, Check: result, ExitCode: exitCode(err)}
		switch {
		case errors.Is(err, context.Canceled):
			if len(all.Models) == 0 {
				return err
			}
			interrupt, one.Unfinished, one.ExitCode = err, true, interruptionCode(ctx)
			one.Error = path + ": an interruption came before it was diagnosed"
		case result == nil && errors.Is(err, context.DeadlineExceeded):
			one.Unfinished, one.Error, one.Hint = true, path+": the time limit came before anything of it was measured", hintOf(err)
		case err != nil && !errors.Is(err, errReported):
			if one.Error, one.Hint = message(err), hintOf(err); !strings.Contains(one.Error, path) {
				one.Error = path + ": " + one.Error
			}
		}
		if one.Error != "" {
			con.warn("%s", one.Error)
		}
		all.Models = append(all.Models, one)
		all.ExitCode = max(all.ExitCode, one.ExitCode)
	}
	if err := opt.out.write(&all); err != nil {
		return err
	}
	switch {
	case interrupt != nil:
		return interrupted(interrupt, con, "not all was diagnosed: "+all.Summary())
	case all.ExitCode == exitOK:
		return nil
	case all.ExitCode == exitFailed:
		return errReported
	}
	return &failure{code: all.ExitCode, msg: all.Summary(), hint: "the report says why, and what to do"}
}
