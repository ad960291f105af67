package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
)

// lineInterval is the least time between two lines of progress where stderr is
// not a terminal.
const lineInterval = 10 * time.Second

// progress reports how far a command is: a bar with the remaining time on a
// terminal, else a line at the beginning and every ten seconds.
type progress struct {
	out     io.Writer // nil: silent
	bar     *progressbar.ProgressBar
	isTerm  bool
	last    time.Time
	started bool
}

func newProgress(c *cli.Context) *progress {
	p := &progress{}
	if c.Bool("quiet") {
		return p
	}
	p.out = c.App.ErrWriter
	f, ok := p.out.(*os.File)
	p.isTerm = ok && term.IsTerminal(int(f.Fd())) && os.Getenv("CI") == ""
	return p
}

// update is called with the phase and the share done.
func (p *progress) update(phase string, done, total int) {
	if p.out == nil || total <= 0 {
		return
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
	if now := time.Now(); !p.started || now.Sub(p.last) >= lineInterval {
		p.started, p.last = true, now
		fmt.Fprintf(p.out, "modeldoctor: %s (%d %%)\n", phase, 100*done/total)
	}
}

// finish clears the bar.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
