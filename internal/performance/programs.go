package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/modeldoctor/modeldoctor/internal/peak"
)

// A cost is what a process took from its start to its end.
type cost struct {
	seconds float64
	cpu     float64 // seconds of all processors
	peak    float64 // bytes: its largest resident set; 0 where it is not known
	out     []byte
}

// reported is the exit status of modeldoctor where it has reported, and what it reports is
// that a model fails or that a treatment is not accepted.
const reported = 1

// costOf runs a program to its end.
func costOf(ctx context.Context, program string, args ...string) (c cost, err error) {
	process := exec.CommandContext(ctx, program, args...)
	var out, trouble bytes.Buffer
	process.Stdout, process.Stderr = &out, &trouble
	start := time.Now()
	err = process.Run()
	c.seconds = time.Since(start).Seconds()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != reported || out.Len() == 0) {
		return c, fmt.Errorf("%s: %w: %s", strings.Join(process.Args, " "), err, strings.TrimSpace(trouble.String()))
	}
	c.cpu = (process.ProcessState.UserTime() + process.ProcessState.SystemTime()).Seconds()
	c.peak = float64(peak.ResidentOf(process.ProcessState))
	c.out = out.Bytes()
	return c, nil
}

// checked runs modeldoctor check, whatever it finds. Flags come before the model.
func checked(ctx context.Context, b *bench, program string, args ...string) (cost, error) {
	args = append([]string{"check", "--quiet", "--config", "none", "--fail-on", "never", "--threads", fmt.Sprint(b.threads)}, args...)
	return costOf(ctx, program, args...)
}
