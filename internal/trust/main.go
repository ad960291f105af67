// Command trust measures how far the verdicts of a diagnosis can be relied on: it
// diagnoses a model on many validation sets redrawn from CIFAR-100's test images,
// and compares what the reports say with what the images show that a report has
// not used. It prints the table of docs/trust.md.
//
//	go run ./internal/trust
//
// The images lie in ../shared/data, or in the folder data of the one that
// MODELDOCTOR_SHARED names. Every experiment has its own seed and nothing else is
// random: the same command prints the same figures.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/diag"
)

// An experiment measures some rows of the table.
type experiment struct {
	name string
	run  func(context.Context, *study) ([]row, error)
}

func experiments() []experiment {
	return []experiment{
		{"coverage", coverage},
		{"worst", worstSet},
		{"stability", stability},
		{"alarms", falseAlarms},
		{"labels", randomLabels},
		{"scale", scaleNull},
	}
}

func main() {
	var names []string
	for _, e := range experiments() {
		names = append(names, e.name)
	}
	path := flag.String("model", "fixtures/vit-cifar100/model.onnx", "the model, an ONNX `FILE` with its preprocessing beside it")
	device := flag.String("device", "cpu", "where the model runs, `WHERE` is cpu or gpu")
	direction := flag.String("direction", diag.Options{}.Direction.String(), "along which layers are moved, `PATH` is line or balanced")
	drawing := flag.String("draw", "stratified", "how validation sets are drawn, `HOW` is stratified, as --samples of check, or random, as a slice of shuffled images")
	only := flag.String("only", strings.Join(names, ","), "the experiments to make, a `LIST` with commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	how, err := newSetting(*direction, *drawing)
	if err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		os.Exit(2)
	}
	if err := run(ctx, *path, *device, how, strings.Split(*only, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "trust:", err)
		os.Exit(1)
	}
}

// run makes the experiments of the given names and prints what they found.
func run(ctx context.Context, path, device string, how setting, names []string) (err error) {
	chosen := experiments()
	for _, name := range names {
		if !slices.ContainsFunc(chosen, func(e experiment) bool { return e.name == name }) {
			return fmt.Errorf("-only: there is no experiment %q", name)
		}
	}
	chosen = slices.DeleteFunc(chosen, func(e experiment) bool { return !slices.Contains(names, e.name) })
	start := time.Now()
	images, err := testImages()
	if err != nil {
		return err
	}
	s, err := openStudy(images, path, device, how)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	t := table{os.Stdout, s, start}
	if err := t.begin(os.Args[1:]); err != nil {
		return err
	}
	for _, e := range chosen {
		rows, err := e.run(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if err := t.add(rows); err != nil {
			return err
		}
	}
	return t.end()
}
