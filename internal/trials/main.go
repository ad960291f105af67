// Command trials measures what treatments are worth: it runs modeldoctor fix --trial
// many times, several at once, and compares what the runs report, image by image. It
// prints the tables of docs/error.md, as Markdown, and with -json everything that they
// rest on.
//
//	go build -o trials ./internal/trials
//	./trials -data ../shared/data/cifar-100-binary small=fixtures/vit-cifar100/model.onnx@train[5000:7000]
//
// A case is a model with the images that it is trained on, NAME=MODEL@TRAIN. What
// follows -- is passed on to modeldoctor:
//
//	./trials -jobs 4 … CASE… -- --device gpu --precision tf32
//
// It needs the program modeldoctor and the images, and nothing else: built without cgo
// it runs where there is no Go. A run that fails is said, and the others go on.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// An experiment prints a table, and returns what it rests on.
type experiment struct {
	name string
	run  func(context.Context, *study, io.Writer) (any, error)
}

func experiments() []experiment {
	return []experiment{{"error", lowerError}, {"worse", acceptedAndWorse}}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "trials:", err)
		os.Exit(1)
	}
}

// run makes the experiments that the arguments ask for.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	var passOn []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, passOn = args[:i], args[i+1:]
	}
	flags := flag.NewFlagSet("trials", flag.ContinueOnError)
	flags.SetOutput(log)
	program := flags.String("program", "./modeldoctor", "the `PROGRAM` that treats")
	data := flags.String("data", "", "the images, a `FOLDER` of CIFAR-100")
	only := flags.String("only", "error", "the experiments to make, a `LIST` with commas: error, worse")
	jobs := flags.Int("jobs", 1, "`N` runs at once")
	seeds := flags.Int("seeds", 1, "`N` seeds of each")
	settings := flags.String("settings", "", "only the treatments whose names contain one of a `LIST` with commas, and those that they change")
	budget := flags.Duration("budget", 0, "no run is begun after this `TIME`, as 150s; 0: all are")
	file := flags.String("json", "", "a `FILE` for what the tables rest on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *jobs < 1 || *seeds < 1 {
		return errors.New("-jobs and -seeds are at least 1")
	}
	s := &study{
		program: *program, data: *data, passOn: passOn, jobs: *jobs, seeds: *seeds,
		settings: strings.FieldsFunc(*settings, func(r rune) bool { return r == ',' }), log: log,
	}
	if *budget > 0 {
		s.end = time.Now().Add(*budget)
	}
	for _, text := range flags.Args() {
		c, err := parseCase(text)
		if err != nil {
			return err
		}
		s.cases = append(s.cases, c)
	}
	if len(s.cases) == 0 {
		return errors.New("no case: name one as NAME=MODEL@TRAIN")
	}
	found := map[string]any{}
	names := strings.Split(*only, ",")
	for _, name := range names {
		i := slices.IndexFunc(experiments(), func(e experiment) bool { return e.name == name })
		if i < 0 {
			return fmt.Errorf("-only: there is no experiment %q", name)
		}
		var err error
		if found[name], err = experiments()[i].run(ctx, s, out); err != nil {
			return err
		}
	}
	if s.begun > 0 && s.failed == s.begun {
		return errors.New("every run has failed: the tables are empty")
	}
	if *file == "" {
		return nil
	}
	text, err := json.MarshalIndent(found, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*file, append(text, '\n'), 0o644)
}

// subject is a model with the images that it is trained on.
type subject struct {
	name, model, train string
}

// parseCase reads NAME=MODEL@TRAIN.
func parseCase(text string) (subject, error) {
	name, rest, named := strings.Cut(text, "=")
	at := strings.LastIndex(rest, "@")
	if !named || name == "" || at <= 0 || at == len(rest)-1 {
		return subject{}, fmt.Errorf("%q: expected a case as NAME=MODEL@TRAIN, such as small=model.onnx@train[:5000]", text)
	}
	return subject{name, rest[:at], rest[at+1:]}, nil
}
