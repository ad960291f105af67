// Package report prints results. It computes nothing: what a reader sees in one
// format is what another gives to a machine, and the verdict is the same in
// all.
//
// There is one printer per kind of result and format: CheckText, CheckJSON,
// InspectText, and so on. Printers write to an io.Writer and return its error.
// ReadCheck and ReadFix read back what another run has printed.
//
// JSON has stable names, described for check, fix, compare and verify by
// docs/schema, and null for what does not exist; there is never a NaN or an
// infinity. Text is for a terminal of 100 columns. Names come from files: in
// text, characters that would control the terminal are replaced. A figure behind
// ± is half the width of a 95 % interval, but for compare, where it is the
// standard deviation over seeds.
package report

import (
	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/graph"
)

// SchemaVersion is the version of every JSON document. It rises when a field
// changes its meaning or goes away, not when one is added.
const SchemaVersion = 1

// Model describes the file that was read.
type Model struct {
	Path           string
	SHA256         string // hexadecimal
	Producer       string // name and version of the exporter
	Opset          int64  // of ai.onnx
	IRVersion      int64
	Parameters     int // elements of all weights in layers
	Analysed       int // of these, elements in the layers that were asked for
	Classes        int
	Family         string // in words, such as "ViT, 6 blocks"
	SoftmaxRemoved bool   // losses are of what enters the Softmax at the end
	FixedBatch     int    // the batch the file is bound to; 0 if free
}

// Preprocess describes how images were turned into the model's input.
type Preprocess struct {
	Name   string
	Source string // a file, --preprocess, or how it was detected
	Mean   [3]float64
	Std    [3]float64
	Size   [2]int // height, width
}

// Data describes the images that were used.
type Data struct {
	Name string
	Val  string // the split and slice, such as test[:1000]
	ValN int
	// SHA256 is a digest, in hexadecimal, of the examples as the model sees them,
	// labels included. It is empty where not all of them were read.
	SHA256     string
	Preprocess Preprocess
}

// Provenance says how a result came about. Nothing outside it depends on the
// number of threads.
type Provenance struct {
	Version   string
	Command   []string
	Seed      uint64
	Device    string
	Threads   int
	Seconds   float64
	PeakBytes int64 // largest resident set of the process
}

// Check is the result of the command check.
type Check struct {
	Model       Model
	Data        Data
	Granularity string // what a layer is: block, module or tensor
	Diagnosis   *diag.Report
	Skipped     []graph.Skipped
	FailOn      diag.Level // the level from which a violation fails; "" never
	Provenance  Provenance
}

// Failed returns the violations that reach FailOn.
func (c *Check) Failed() []diag.Violation {
	var failed []diag.Violation
	for _, v := range c.Diagnosis.Violations {
		if fails(c.FailOn, v.Level) {
			failed = append(failed, v)
		}
	}
	return failed
}

func fails(threshold, level diag.Level) bool {
	switch threshold {
	case diag.LevelError:
		return level == diag.LevelError
	case diag.LevelWarning:
		return level == diag.LevelError || level == diag.LevelWarning
	}
	return false
}
