package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/modeldoctor/modeldoctor/cifar"
	"github.com/modeldoctor/modeldoctor/internal/download"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

func dataCommand() *cli.Command {
	return withHelp(&cli.Command{
		Name:      "data",
		Usage:     "public data sets: what there is, and fetch one",
		ArgsUsage: "ls | get NAME",
		Description: "ls lists the data sets that can be fetched. get fetches one, unless it is there already, and prints where the file is, for --data. " +
			"A connection that breaks is taken up where it broke, in this call and in the next; a file whose SHA-256 is not the one that this program knows is thrown away. " +
			"Proxies are those of HTTPS_PROXY and NO_PROXY.",
		Flags: slices.Concat([]cli.Flag{
			stringFlag(categoryData, "source", "URL", cifar.Source, "folder on the web that has the files, such as a mirror"),
			fileFlag(categoryData, "folder", "DIR", "where the file is kept; by default modeldoctor's folder in the user's cache directory"),
		}, outputFlags(), []cli.Flag{
			&cli.DurationFlag{Name: "timeout", Usage: "`TIME` stop after this long, such as 90s or 5m, with exit status 4; what has arrived is kept", EnvVars: env("timeout"), Category: categoryRun},
			configFlag(),
		}),
		Before:       withConfig,
		Action:       action(readDataCommand, data),
		OnUsageError: usageError,
	}, "modeldoctor data ls", `modeldoctor check --data "$(modeldoctor data get cifar-100)" model.onnx`)
}

// dataCommandOptions are the flags and arguments of data.
type dataCommandOptions struct {
	get     *cifar.Archive // nil: list them
	source  string         // folder on the web
	folder  string         // where files are kept
	run     runOptions     // its timeout and console
	out     *output
	printed io.Writer // where get prints the path
}

func readDataCommand(c *cli.Context) (dataCommandOptions, error) {
	out, err := readOutput(c, report.Formats(&report.DataSets{}))
	if err != nil {
		return dataCommandOptions{}, err
	}
	opt := dataCommandOptions{
		source: strings.TrimSuffix(c.String("source"), "/"), folder: c.String("folder"), out: out, printed: c.App.Writer,
		run: runOptions{timeout: c.Duration("timeout"), console: newConsole(c.App.ErrWriter, c.Bool("quiet"))},
	}
	if opt.folder == "" {
		if opt.folder, err = download.CacheFolder("modeldoctor"); err != nil {
			return opt, usage("there is no folder for the user's cache: %v", err).withHint("name one with --folder, or set HOME")
		}
	}
	const hint = "modeldoctor data ls, or modeldoctor data get cifar-100"
	switch args := c.Args().Slice(); {
	case len(args) == 1 && args[0] == "ls":
		return opt, nil
	case len(args) == 2 && args[0] == "get":
		if onCommandLine(c, "format") {
			return opt, usage("--format: data get prints where the file is, and has no report").withHint("leave it out; `modeldoctor data ls` has one")
		}
		out.files = nil // what a file or a variable asks for is for other commands
		opt.get, err = findArchive(args[1])
		return opt, err
	case len(args) == 0:
		return opt, usage("data: ls or get is missing").withHint(hint)
	default:
		return opt, usage("data: found %q, expected ls, or get and the name of a data set", strings.Join(args, " ")).withHint(hint)
	}
}

// findArchive returns the data set of that name.
func findArchive(name string) (*cifar.Archive, error) {
	var names []string
	for _, a := range cifar.Archives() {
		if a.Name == name {
			return &a, nil
		}
		names = append(names, a.Name)
	}
	return nil, usage("there is no data set %q to fetch", name).withHint("there are %s", strings.Join(names, " and "))
}

func data(ctx context.Context, opt dataCommandOptions) error {
	ctx, cancel := opt.run.withTimeout(ctx)
	defer cancel()
	if opt.get != nil {
		return getData(ctx, opt)
	}
	result := &report.DataSets{Folder: opt.folder, Sets: []report.DataSet{}}
	for _, a := range cifar.Archives() {
		set := report.DataSet{Name: a.Name, Images: a.Images, Classes: a.Classes, Size: a.Size, SHA256: a.SHA256, URL: opt.source + "/" + a.File}
		path := filepath.Join(opt.folder, a.File)
		if info, err := os.Stat(path); err == nil && info.Size() == a.Size {
			set.Path = report.Optional(path)
		}
		result.Sets = append(result.Sets, set)
	}
	return opt.out.write(result)
}

// getData fetches a data set and prints where it is.
func getData(ctx context.Context, opt dataCommandOptions) error {
	const unit = 1000 // progress counts kB
	client := &download.Client{Progress: func(done, total int64) {
		opt.run.console.counting("kB")("fetching "+opt.get.Name, int(done/unit), int(total/unit))
	}}
	if err := os.MkdirAll(opt.folder, 0o755); err != nil {
		return unfetched(err)
	}
	path := filepath.Join(opt.folder, opt.get.File)
	err := client.Get(ctx, download.File{URL: opt.source + "/" + opt.get.File, Size: opt.get.Size, SHA256: opt.get.SHA256}, path)
	opt.run.console.finish()
	if err != nil {
		return unfetched(err)
	}
	_, err = fmt.Fprintln(opt.printed, path)
	return err
}

// unfetched says why there are no data, but for a call that was stopped.
func unfetched(err error) error {
	if code := exitCode(err); code == exitTimeout || code == exitInterrupted {
		return err
	}
	hint := "the folder must be writable and have room; another one can be named with --folder"
	var web *download.Error
	if errors.As(err, &web) {
		hint = web.Hint()
	}
	return unreadable(err, hint)
}
