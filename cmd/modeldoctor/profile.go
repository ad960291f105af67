package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/exec"
)

// profile is what operations on a model took, from when it was ready to run.
type profile struct {
	console *console
	began   time.Time
	steps   exec.Profile
}

func newProfile(c *console) *profile { return &profile{console: c, began: time.Now()} }

// write prints the profile; nil prints nothing.
func (p *profile) write(model string) {
	if p == nil {
		return
	}
	p.console.finish()
	fmt.Fprintf(p.console.stderr, "profile of %s\n", oneLine(model))
	writeProfile(p.console.stderr, p.steps.Work(), time.Since(p.began))
}

// profileRows is how many kinds of operations are listed, those that took longest.
const profileRows = 16

// writeProfile prints a table of the time that passed, of which operations took a part.
func writeProfile(to io.Writer, work []exec.Work, passed time.Duration) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, w exec.Work) {
		rate, flops := "", ""
		if w.FLOPs > 0 {
			flops = fmt.Sprintf("%.1f", float64(w.FLOPs)/1e9)
			rate = fmt.Sprintf("%.1f", float64(w.FLOPs)/1e9/max(w.Time.Seconds(), 1e-9))
		}
		calls := ""
		if w.Calls > 0 {
			calls = fmt.Sprint(w.Calls)
		}
		fmt.Fprintf(t, "%.3f\t%.1f %%\t%s\t%s\t%s\t  %s\n", w.Time.Seconds(), 100*w.Time.Seconds()/max(passed.Seconds(), 1e-9), calls, flops, rate, name)
	}
	fmt.Fprintln(t, "seconds\tshare\tcalls\tGFLOP\tGFLOP/s\t  operation")
	var all, rest exec.Work
	for i, w := range work {
		all = together(all, w)
		if i >= profileRows {
			rest = together(rest, w)
			continue
		}
		name := w.Op
		if w.Gradient {
			name += ", backward"
		}
		row(name, w)
	}
	if rest.Calls > 0 {
		row(fmt.Sprintf("%d other operations", len(work)-profileRows), rest)
	}
	row("all operations", all)
	row("all else: images, sums of gradients, compiling", exec.Work{Time: passed - all.Time})
	t.Flush() // stderr has no better place for an error
}

// together is the work of both.
func together(a, b exec.Work) exec.Work {
	return exec.Work{Calls: a.Calls + b.Calls, Time: a.Time + b.Time, FLOPs: a.FLOPs + b.FLOPs}
}
