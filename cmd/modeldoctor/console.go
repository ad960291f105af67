package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// lineInterval is the least time between two lines of progress where stderr is
// not a terminal.
const lineInterval = 10 * time.Second

// console tells the user, on stderr, how far a command is and what to beware of:
// progress is a bar on a terminal, else a line at the beginning and every ten seconds;
// either has the rate and the time left.
type console struct {
	stderr io.Writer
	quiet  bool // no progress
	isTerm bool
	bar    *progressbar.ProgressBar
	last   time.Time // that a line was written
	warned map[string]bool
	phase  string // that was told of last; empty: none
	drawn  string // the phase in front of the bar
	task   task
}

// task is work whose rate and time left are told.
type task struct {
	unit        string // of done and total; empty: none that anyone would count
	done, total int
	first       int // what was done when it was first told of
	begun       time.Time
}

func newConsole(stderr io.Writer, quiet bool) *console {
	return &console{stderr: stderr, quiet: quiet, isTerm: isTerminal(stderr) && os.Getenv("CI") == ""}
}

// warn writes a line of warning, once.
func (c *console) warn(format string, args ...any) {
	text := oneLine(fmt.Sprintf(format, args...))
	if c.warned[text] {
		return
	}
	if c.warned == nil {
		c.warned = map[string]bool{}
	}
	c.warned[text] = true
	fmt.Fprintf(c.stderr, "modeldoctor: warning: %s\n", text)
}

// say writes a line unless the user wants quiet.
func (c *console) say(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.stderr, "modeldoctor: %s\n", oneLine(fmt.Sprintf(format, args...)))
	}
}

// progress is called with the phase and how much is done of a total, in a unit that
// tells a share only. Another total is another task, and so is less that is done.
func (c *console) progress(phase string, done, total int) { c.advance(phase, "", done, total) }

// counting is progress in a unit that can be told, such as images.
func (c *console) counting(unit string) func(phase string, done, total int) {
	return func(phase string, done, total int) { c.advance(phase, unit, done, total) }
}

func (c *console) advance(phase, unit string, done, total int) {
	if total <= 0 {
		return
	}
	switch t := c.task; {
	case t.begun.IsZero() || total != t.total || unit != t.unit:
		c.finish()
		c.task = task{unit: unit, total: total, first: done, begun: time.Now()}
	case done < t.done: // the next epoch, say, which may follow fast: no line for each
		c.clear()
		c.task.first, c.task.begun = done, time.Now()
	}
	c.phase, c.task.done = oneLine(phase), done
	switch {
	case c.quiet:
	case c.isTerm:
		c.draw()
	case time.Since(c.last) >= lineInterval:
		c.last = time.Now()
		fmt.Fprintf(c.stderr, "modeldoctor: %s%s\n", c.reached(), c.task.pace(time.Since(c.task.begun)))
	}
}

// draw shows the bar.
func (c *console) draw() {
	if c.bar == nil {
		options := []progressbar.Option{
			progressbar.OptionSetWriter(c.stderr),
			progressbar.OptionSetWidth(20),
			progressbar.OptionThrottle(100 * time.Millisecond),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionClearOnFinish(),
		}
		if c.task.unit != "" {
			options = append(options, progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(c.task.unit))
		}
		c.bar = progressbar.NewOptions(c.task.total, options...)
	}
	if c.drawn != c.phase { // each call draws, and none is drawn shortly after another
		c.bar.Describe(fmt.Sprintf("%-12s", c.phase))
		c.drawn = c.phase
	}
	_ = c.bar.Set(c.task.done) // a bar that cannot be drawn is no reason to stop
}

// reached is how far the command is, as of the last call of progress.
func (c *console) reached() string {
	count := ""
	if t := c.task; t.unit != "" {
		count = fmt.Sprintf(": %d/%d %s", t.done, t.total, t.unit)
	}
	return fmt.Sprintf("%s%s (%d %%)", c.phase, count, 100*c.task.done/c.task.total)
}

// pace is the rate of a task and the time that is left at it, given how long it has
// taken; empty where nothing is done yet.
func (t *task) pace(elapsed time.Duration) string {
	done := t.done - t.first
	if done <= 0 || elapsed <= 0 {
		return ""
	}
	rate := ""
	if t.unit != "" {
		rate = fmt.Sprintf(", %.3g %s/s", float64(done)/elapsed.Seconds(), t.unit)
	}
	left := time.Duration(float64(elapsed) / float64(done) * float64(t.total-t.done))
	return fmt.Sprintf("%s, %v left", rate, left.Round(time.Second))
}

// clear removes the bar.
func (c *console) clear() {
	if c.bar != nil {
		_ = c.bar.Clear()
	}
	c.bar, c.drawn = nil, ""
}

// finish ends the task.
func (c *console) finish() {
	c.clear()
	c.last, c.task.begun = time.Time{}, time.Time{}
}
