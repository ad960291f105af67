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
// progress is a bar with the remaining time on a terminal, else a line at the
// beginning and every ten seconds.
type console struct {
	stderr io.Writer
	quiet  bool // no progress
	isTerm bool
	bar    *progressbar.ProgressBar
	total  int // of the task that is under way
	last   time.Time
	warned map[string]bool

	phase   string // that was told of last; empty: none
	percent int    // of it
}

func newConsole(stderr io.Writer, quiet bool) *console {
	return &console{stderr: stderr, quiet: quiet, isTerm: isTerminal(stderr) && os.Getenv("CI") == ""}
}

// warn writes a line of warning, once.
func (c *console) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if c.warned[text] {
		return
	}
	if c.warned == nil {
		c.warned = map[string]bool{}
	}
	c.warned[text] = true
	fmt.Fprintf(c.stderr, "modeldoctor: warning: %s\n", text)
}

// progress is called with the phase and how much is done of a total. Another
// total is another task.
func (c *console) progress(phase string, done, total int) {
	if total <= 0 {
		return
	}
	c.phase, c.percent = phase, 100*done/total
	if c.quiet {
		return
	}
	if total != c.total {
		c.finish()
		c.total = total
	}
	if c.isTerm {
		if c.bar == nil {
			c.bar = progressbar.NewOptions(total,
				progressbar.OptionSetWriter(c.stderr),
				progressbar.OptionSetWidth(30),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionSetPredictTime(true),
				progressbar.OptionClearOnFinish())
		}
		c.bar.Describe(fmt.Sprintf("%-12s", phase))
		_ = c.bar.Set(done) // a bar that cannot be drawn is no reason to stop
		return
	}
	if now := time.Now(); now.Sub(c.last) >= lineInterval {
		c.last = now
		fmt.Fprintf(c.stderr, "modeldoctor: %s\n", c.reached())
	}
}

// reached is how far the command is, as of the last call of progress.
func (c *console) reached() string { return fmt.Sprintf("%s (%d %%)", c.phase, c.percent) }

// finish clears the bar and ends the task.
func (c *console) finish() {
	if c.bar != nil {
		_ = c.bar.Clear()
	}
	c.bar, c.total, c.last = nil, 0, time.Time{}
}
