package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// outputKey is the key of the app's metadata under which the output of a command is kept
// once its flags have been read.
const outputKey = "output"

// reporting does a command's work so that none of its files goes on holding what an earlier
// command has left there. From before the work they say that it has not ended, which stays
// where the program is killed; and in the end why there is no report, where there is none.
func reporting(c *cli.Context, work func() error) error {
	out, _ := c.App.Metadata[outputKey].(*output)
	if out == nil {
		return work()
	}
	failure := report.Failure{
		Command: c.Command.Name, Inputs: append([]string{}, c.Args().Slice()...), Verdict: report.Errored, Version: version(),
		Error: fmt.Sprintf("modeldoctor %s has not ended: it is running, or was killed", c.Command.Name), ExitCode: exitInternal,
	}
	begun := out.replace(&failure)
	err := unwritable(begun)
	if begun == nil {
		err = work()
	}
	if err == nil || out.written {
		return err
	}
	failure.Error, failure.Hint, failure.ExitCode = message(err), report.Optional(hintOf(err)), endCode(c.Context, err)
	if problem := errors.Join(out.replace(&failure), out.annotate(&failure)); problem != nil && begun == nil {
		fmt.Fprintf(c.App.ErrWriter, "modeldoctor: warning: the report on what follows cannot be written: %s\n", message(problem))
	}
	return err
}

// endCode is the exit code of a command that ends with an error.
func endCode(ctx context.Context, err error) int {
	if code := exitCode(err); code != exitInterrupted {
		return code
	}
	return interruptionCode(ctx)
}

// replace writes a failure into the files of the reports. What is no regular file, such as
// a pipe, gets the report alone, if there is one.
func (o *output) replace(failure *report.Failure) error {
	var problems error
	for _, f := range o.files {
		if info, err := os.Stat(f.path); !errors.Is(err, fs.ErrNotExist) && (err != nil || !info.Mode().IsRegular()) {
			continue
		}
		problems = errors.Join(problems, writeFile(f.path, func(w io.Writer) error { return report.Write(w, failure, f.format, report.Style{}) }))
	}
	return problems
}

// annotate tells GitHub of a failure, where workflow commands were asked for.
func (o *output) annotate(failure *report.Failure) error {
	if !o.workflow {
		return nil
	}
	err := report.Write(o.stdout, failure, workflowFormat, o.style)
	if o.summary != "" {
		err = errors.Join(err, writeSummary(o.summary, failure))
	}
	return err
}
