package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
)

// lineInterval is the least time between two lines of progress where stderr is
// not a terminal.
const lineInterval = 10 * time.Second

// progress reports how far a command is: a bar with the remaining time on a
// terminal, else a line at the beginning and every ten seconds.
type progress struct {
	out    io.Writer // nil: silent
	isTerm bool
	bar    *progressbar.ProgressBar
	total  int // of the task that is under way
	last   time.Time
}

func newProgress(c *cli.Context) *progress {
	p := &progress{}
	if !c.Bool("quiet") {
		p.out = c.App.ErrWriter
		p.isTerm = isTerminal(p.out) && os.Getenv("CI") == ""
	}
	return p
}

// update is called with the phase and how much is done of a total. Another
// total is another task.
func (p *progress) update(phase string, done, total int) {
	if p.out == nil || total <= 0 {
		return
	}
	if total != p.total {
		p.finish()
		p.total = total
	}
	if p.isTerm {
		if p.bar == nil {
			p.bar = progressbar.NewOptions(total,
				progressbar.OptionSetWriter(p.out),
				progressbar.OptionSetWidth(30),
				progressbar.OptionThrottle(100*time.Millisecond),
				progressbar.OptionSetPredictTime(true),
				progressbar.OptionClearOnFinish())
		}
		p.bar.Describe(fmt.Sprintf("%-12s", phase))
		_ = p.bar.Set(done) // a bar that cannot be drawn is no reason to stop
		return
	}
	if now := time.Now(); now.Sub(p.last) >= lineInterval {
		p.last = now
		fmt.Fprintf(p.out, "modeldoctor: %s (%d %%)\n", phase, 100*done/total)
	}
}

// finish clears the bar and ends the task.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	p.bar, p.total, p.last = nil, 0, time.Time{}
}
