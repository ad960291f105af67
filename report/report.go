// Package report prints results. It computes nothing: what a reader sees in one
// format is what another gives to a machine, and the verdict is the same in
// all.
//
// A [Result] is what a command has found: a view of it, made of plain values,
// whose JSON tags are the document's names. [Write] writes any of them in any
// format that it has; see [Formats]. [ReadCheck] and [ReadFix] read back what
// another run has written.
//
// JSON has stable names, described by docs/schema, and null for what does not
// exist; there is never a NaN or an infinity. Text is for a terminal of 60 to 120
// columns, as [Style] says. Names come from files: in text, characters that would
// control the terminal are replaced. A figure behind ± is half the width of a 95 %
// interval, but for compare, where it is the standard deviation over seeds.
package report

import (
	"fmt"
	"io"
	"slices"
)

// Result is what a command has found: a [*Check], [*CheckPart], [*Shares], [*Fix], [*FixPlan], [*SearchPlan],
// [*Compare], [*Verify], [*Inspect], [*Probe], [*DataSets] or [*Devices], or [Topics],
// a [Rule] or a [Term]; or a [*Failure] in its place.
type Result interface {
	text(p *printer) // tells it to a person
}

// format is a way to write results.
type format struct {
	name string
	// has reports whether there is such a format for a result. It looks at the
	// type only: r may be zero.
	has   func(r Result) bool
	write func(w io.Writer, r Result, style Style) error
}

// formats are listed in this order, and those of init functions behind them.
var formats = []format{
	{
		name: "text",
		has:  func(Result) bool { return true },
		write: func(w io.Writer, r Result, style Style) error {
			p := &printer{w: w, style: style}
			r.text(p)
			return p.err
		},
	},
	{
		name:  "json",
		has:   has[document],
		write: func(w io.Writer, r Result, _ Style) error { return writeJSON(w, r) },
	},
}

// register adds a format. The file of a format calls it from its init function,
// and holds the methods by which results have the format.
func register(f format) { formats = append(formats, f) }

// has reports whether a result has the methods of T.
func has[T any](r Result) bool {
	_, ok := r.(T)
	return ok
}

// Formats names the formats that every one of some results has. Only their types
// matter: a result may be zero.
func Formats(results ...Result) []string {
	var names []string
	for _, f := range formats {
		if !slices.ContainsFunc(results, func(r Result) bool { return !f.has(r) }) {
			names = append(names, f.name)
		}
	}
	return names
}

// Write writes a result in one of its [Formats], and returns the writer's error.
// style concerns text only.
func Write(w io.Writer, r Result, name string, style Style) error {
	for _, f := range formats {
		if f.name == name && f.has(r) {
			return f.write(w, r, style)
		}
	}
	return fmt.Errorf("%T has no format %q", r, name)
}
