// Command performance measures how fast the program is, beside ONNX Runtime and scripts
// of PyTorch where Python has these, and how its cost grows. It writes its tables
// between two markers of docs/performance.md, after each part of the work, so that what
// was measured before an interruption is there.
//
//	go run ./internal/performance -python python3 -before old/modeldoctor
//
// Programs that are compared take turns in rounds, on a machine that should do nothing
// else; a figure is the median of the rounds. Models have random weights, and are
// written to a temporary folder.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/shareddata"
)

// A section is a part of the work, with a table of its own.
type section struct {
	name  string // by which -only names it
	title string
	run   func(context.Context, *bench) (table, error)
}

func sections() []section {
	return []section{
		{"step", "One batch", steps},
		{"thread", "Forward on one thread", oneThread},
		{"products", "Matrix products", products},
		{"check", "Check", checks},
		{"fix", "Treatment", treatments},
		{"growth", "Cost of check as work grows", growth},
	}
}

// A bench is what all sections measure with.
type bench struct {
	program string // modeldoctor
	before  string // an earlier modeldoctor; empty: none
	python  string // empty: no peers
	data    string // a folder of CIFAR-100; empty: the built-in sample
	folder  string // for models
	threads int
	rounds  int
	quick   bool // little of everything

	versions map[string]string // of the peers that have run
}

// of is the first of two sizes, or the second where the run is to be quick.
func of[T any](b *bench, full, quick T) T {
	if b.quick {
		return quick
	}
	return full
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		err = serve(ctx, os.Args[2:], os.Stdin, os.Stdout)
	} else {
		err = run(ctx, os.Args[1:])
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "performance:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{versions: map[string]string{}}
	flags := flag.NewFlagSet("performance", flag.ContinueOnError)
	flags.StringVar(&b.program, "program", "", "the `PROGRAM` modeldoctor; by default it is built")
	flags.StringVar(&b.before, "before", "", "an earlier `PROGRAM` modeldoctor to compare with")
	flags.StringVar(&b.python, "python", "", "a `PYTHON` with torch and onnxruntime; by default nothing is compared with these")
	flags.IntVar(&b.threads, "threads", min(2, runtime.NumCPU()), "`N` threads of everything but what runs on one")
	flags.IntVar(&b.rounds, "rounds", 5, "`N` rounds of what takes seconds")
	flags.BoolVar(&b.quick, "quick", false, "little of everything, to try the command out")
	only := flags.String("only", "", "only these sections, a `LIST` with commas: "+strings.Join(names(sections()), ", "))
	file := flags.String("o", "docs/performance.md", "the `DOCUMENT` to write to; empty: standard output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || b.rounds < 1 || b.threads < 1 {
		return errors.New("expected flags alone, with at least 1 thread and 1 round")
	}
	if b.quick {
		b.rounds = 1
	}
	wanted, err := choose(*only)
	if err != nil {
		return err
	}
	if b.python != "" {
		if out, err := exec.CommandContext(ctx, b.python, "-c", "import onnxruntime, torch").CombinedOutput(); err != nil {
			return fmt.Errorf("-python: %s cannot import onnxruntime and torch: %w: %s", b.python, err, out)
		}
	}
	if b.data, err = shareddata.Find("data", "cifar-100-binary"); err != nil {
		b.data = ""
	}
	if b.folder, err = os.MkdirTemp("", "performance-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.folder)) }()
	if b.program == "" {
		b.program = filepath.Join(b.folder, "modeldoctor")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", b.program, "./cmd/modeldoctor").CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w: %s", err, out)
		}
	}
	return b.measure(ctx, wanted, *file)
}

// measure runs sections and puts their tables into the document, after each. One that
// fails is said there with what it has measured, and the others are run.
func (b *bench) measure(ctx context.Context, wanted []section, file string) error {
	d, err := openDocument(b, file)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range wanted {
		fmt.Fprintf(os.Stderr, "performance: %s\n", s.title)
		began := time.Now()
		t, err := s.run(ctx, b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", s.name, err))
			t.notes = append(t.notes, "Not measured to the end: an error.")
		}
		if err := d.put(s, t, began); err != nil {
			return err
		}
	}
	return failed
}

func names(all []section) (names []string) {
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}

// choose returns the sections that a list names; all if it is empty.
func choose(list string) ([]section, error) {
	all := sections()
	if list == "" {
		return all, nil
	}
	var wanted []section
	for name := range strings.SplitSeq(list, ",") {
		i := slices.Index(names(all), name)
		if i < 0 {
			return nil, fmt.Errorf("-only: %q is none of %s", name, strings.Join(names(all), ", "))
		}
		wanted = append(wanted, all[i])
	}
	return wanted, nil
}
