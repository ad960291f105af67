package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// serveCommand is the first argument of the process that works.
const serveCommand = "serve"

// ownName is what this program is called among those that work.
const ownName = "modeldoctor"

// batch is the number of images of what works on one batch.
const batch = 8

// Work that both this program and the peers do on a batch.
const (
	workForward   = "forward"
	workGradients = "gradients" // of all weights
	workLast      = "last"      // the gradients of the last block, from the neck below it
)

// serve prepares one piece of work and does it once for each line that it reads: a
// [worker]. The first line that it prints says who works.
func serve(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet(serveCommand, flag.ContinueOnError)
	work := flags.String("work", workForward, "the `WORK`")
	path := flags.String("model", "", "the `MODEL`")
	threads := flags.Int("threads", 1, "`N` threads")
	if err := flags.Parse(args); err != nil {
		return err
	}
	file, err := onnx.Open(*path)
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	n, err := graph.Build(file, graph.Options{Batch: batch})
	if err != nil {
		return err
	}
	r := graph.NewRunner(n, graph.RunnerOptions{Threads: *threads})
	defer r.Close()
	do, err := prepare(ctx, n, r, *work)
	if err != nil {
		return err
	}
	if err := do(); err != nil { // compiles
		return err
	}
	if err := json.NewEncoder(out).Encode(map[string]string{ownName: runtime.Version()}); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		start := time.Now()
		if err := do(); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, time.Since(start).Seconds()); err != nil {
			return err
		}
	}
	return nil
}

// prepare returns what does the work once.
func prepare(ctx context.Context, n *graph.Network, r *graph.Runner, work string) (func() error, error) {
	images, labels := make([]float32, n.Batch*n.Input.Elements()), make([]int, n.Batch)
	for i := range images {
		images[i] = float32(i%13)/6 - 1
	}
	gradients := func(from int, in []float32, want []int) func() error {
		return func() error {
			return r.LossGradients(ctx, metric.Loss{}, from, in, labels, 1, want, nil, func(int, nn.Memory) error { return nil })
		}
	}
	switch work {
	case workForward:
		losses := make([]float64, n.Batch)
		return func() error { return r.Evaluate(ctx, 0, images, labels, 1, losses, nil) }, nil
	case workGradients:
		return gradients(0, images, n.AllWeights()), nil
	case workLast:
		blocks, err := graph.SelectLayers(n.Layers(graph.ByBlock), []string{"blocks.*"})
		if err != nil {
			return nil, err
		}
		last := blocks[len(blocks)-1]
		neck := make([]float32, n.Batch*r.NeckElements(last.Neck))
		return gradients(last.Neck, neck, last.Weights), r.Advance(ctx, 0, last.Neck, images, neck, n.Batch)
	}
	return nil, fmt.Errorf("-work: %q is none of %s, %s, %s", work, workForward, workGradients, workLast)
}
