package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/modeldoctor/modeldoctor/report"
)

// A study is the cases, and how they are treated.
type study struct {
	program, data string
	cases         []subject
	passOn        []string // flags of every run
	settings      []string // parts of the names of those that are looked at; none: all
	jobs, seeds   int
	end           time.Time // after which no run is begun; zero: never
	log           io.Writer
	begun, failed int // runs, so far
}

// A task is one run of modeldoctor fix --trial.
type task struct {
	of       subject
	name     string // what is treated and how, for the log
	val      string
	holdout  string
	flags    []string
	seed     int
	fix      *report.Fix // nil where it failed
	failed   string      // why
	seconds  float64     // of the whole run
	unsought bool        // there was no time to begin it
}

// run runs all tasks, so many at a time, in their order.
func (s *study) run(ctx context.Context, tasks []*task) {
	begin, done := time.Now(), 0
	var mutex sync.Mutex
	var group sync.WaitGroup
	queue := make(chan *task)
	for range s.jobs {
		group.Go(func() {
			for t := range queue {
				s.treat(ctx, t)
				mutex.Lock()
				done++
				if !t.unsought {
					s.begun++
					if t.fix == nil {
						s.failed++
					}
				}
				s.say("%4.0f s  %d of %d: %s  %s", time.Since(begin).Seconds(), done, len(tasks), t.name, t.outcome())
				mutex.Unlock()
			}
		})
	}
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	group.Wait()
}

// outcome says in some words what became of a task.
func (t *task) outcome() string {
	switch {
	case t.fix == nil:
		return "failed: " + t.failed
	case t.fix.After == nil:
		return "diverged: " + string(t.fix.Stopped)
	}
	return fmt.Sprintf("error %.1f → %.1f %%, %.1f s", 100*t.fix.Before.Error, 100*t.fix.After.Error, t.seconds)
}

// say writes a line to the log, which tells how far it is and decides nothing.
func (s *study) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.log, format+"\n", args...)
}

// treat makes one run and reads its report.
func (s *study) treat(ctx context.Context, t *task) {
	if ctx.Err() != nil || !s.end.IsZero() && time.Now().After(s.end) {
		t.failed, t.unsought = "not begun: no time was left", true
		return
	}
	start := time.Now()
	args := slices.Concat([]string{"fix", "--trial", "--per-image", "--seed", strconv.Itoa(t.seed), "--train", t.of.train, "--holdout", t.holdout, "--drop-shared"}, t.flags)
	out, err := s.output(ctx, t.of, t.val, args)
	if err == nil {
		t.fix, err = report.ReadFix(bytes.NewReader(out))
	}
	if err != nil {
		t.failed = err.Error()
	}
	t.seconds = time.Since(start).Seconds()
}

// output is what a run of the program prints in JSON. A treatment that is not accepted
// ends with status 1, and is reported all the same.
func (s *study) output(ctx context.Context, of subject, val string, args []string) ([]byte, error) {
	args = slices.Concat(args, []string{"--quiet", "--config", "none", "--format", "json", "--val", val})
	if s.data != "" {
		args = append(args, "--data", s.data)
	}
	args = slices.Concat(args, s.passOn, []string{"--", of.model})
	process := exec.CommandContext(ctx, s.program, args...)
	var out, complaint bytes.Buffer
	process.Stdout, process.Stderr = &out, &complaint
	err := process.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || out.Len() == 0) {
		return nil, fmt.Errorf("%w: %s", err, reason(complaint.String()))
	}
	return out.Bytes(), nil
}

// reason is what a program has complained of, its warnings left out.
func reason(complaint string) string {
	lines := strings.Split(strings.TrimSpace(complaint), "\n")
	for _, line := range lines {
		if strings.Contains(line, "error: ") {
			return line
		}
	}
	return lines[0]
}

// layersByGain are the names of the blocks of a model in order of ΔL̂, the largest
// first, by a diagnosis on V.
func (s *study) layersByGain(ctx context.Context, of subject, val string) ([]string, error) {
	out, err := s.output(ctx, of, val, []string{"check", "--fail-on", "never"})
	if err != nil {
		return nil, err
	}
	check, err := report.ReadCheck(bytes.NewReader(out))
	if err != nil {
		return nil, err
	}
	layers := slices.DeleteFunc(slices.Clone(check.Layers), func(l report.Layer) bool { return l.Transfer == nil })
	slices.SortStableFunc(layers, func(a, b report.Layer) int {
		return cmp.Compare(b.Transfer.Mean, a.Transfer.Mean)
	})
	var names []string
	for _, l := range layers {
		names = append(names, check.Granularity+":"+l.Name)
	}
	return names, nil
}
