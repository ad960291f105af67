package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A worker is a process that has one piece of work ready, and does it once for each line
// that it is sent: this program's own ([serve]) or scripts/peers.py. A process each,
// so that the memory of one is not counted as another's.
type worker struct {
	name    string // of what works, such as PyTorch
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	trouble strings.Builder
}

// peersScript does what others do.
const peersScript = "scripts/peers.py"

// startWorker starts a process and waits until it has said who works and its version.
func (b *bench) startWorker(ctx context.Context, program string, args ...string) (w *worker, err error) {
	w = &worker{process: exec.CommandContext(ctx, program, args...)}
	w.process.Stderr = &w.trouble
	if w.in, err = w.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.process.Start(); err != nil {
		return nil, err
	}
	w.out = bufio.NewScanner(out)
	var versions map[string]string
	line, err := w.line()
	if err == nil {
		err = json.Unmarshal([]byte(line), &versions)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err), w.close())
	}
	for name, version := range versions {
		w.name, b.versions[name] = name, version
	}
	return w, nil
}

// own starts this program's own work.
func (b *bench) own(ctx context.Context, work, model string, threads int) (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.startWorker(ctx, self, serveCommand, "-work", work, "-model", model, "-threads", strconv.Itoa(threads))
}

// peer starts work of scripts/peers.py; nil without Python.
func (b *bench) peer(ctx context.Context, threads int, args ...string) (*worker, error) {
	if b.python == "" {
		return nil, nil
	}
	args = append([]string{peersScript, "run"}, args...)
	return b.startWorker(ctx, b.python, append(args, "--batch", strconv.Itoa(batch), "--threads", strconv.Itoa(threads))...)
}

func (w *worker) line() (string, error) {
	if w.out.Scan() {
		return w.out.Text(), nil
	}
	if err := w.out.Err(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

// work does the work once and returns the seconds that it took.
func (w *worker) work() (float64, error) {
	if _, err := io.WriteString(w.in, "\n"); err != nil {
		return 0, fmt.Errorf("%s: %w", w.name, err)
	}
	line, err := w.line()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", w.name, err)
	}
	return strconv.ParseFloat(line, 64)
}

// close ends the process; the error is what it complained of.
func (w *worker) close() error {
	_ = w.in.Close()
	if err := w.process.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(w.trouble.String()))
	}
	return nil
}

// closeAll ends the processes of all but nil workers.
func closeAll(workers []*worker) (err error) {
	for _, w := range workers {
		if w != nil {
			err = errors.Join(err, w.close())
		}
	}
	return err
}

// pause lies between the turns: threads of others that wait actively have slept by then.
const pause = 300 * time.Millisecond

// takeTurns lets workers work in rounds, and ends them. The times are in seconds, by
// worker and then by round; those of a nil worker are nil.
func takeTurns(workers []*worker, rounds int) (times [][]float64, err error) {
	times = make([][]float64, len(workers))
	for range rounds {
		for i, w := range workers {
			if w == nil || err != nil {
				continue
			}
			time.Sleep(pause)
			var seconds float64
			if seconds, err = w.work(); err == nil {
				times[i] = append(times[i], seconds)
			}
		}
	}
	return times, errors.Join(err, closeAll(workers))
}
