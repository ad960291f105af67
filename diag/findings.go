package diag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Findings are what [Measure] has measured: all that [Findings.Conclude] needs, as
// plain data, which JSON gives back bit for bit. What several machines have measured of
// the same examples, each some layers, is put together by [Findings.Join].
type Findings struct {
	N, Training, Classes int       // numbers of examples, of training examples and of the model's classes
	Direction            Direction // the path along which layers were moved

	// As in [Options].
	Tests              int
	Coverage           float64
	DrawnFrom          int
	PreprocessDetected bool

	Checkpoint   *Checkpoint // nil if not even that was evaluated
	Metrics      Metrics
	Temperature  float64 // that losses are taken at
	Calibration  Calibration
	TrainingLoss *float64    // at the temperature; nil without training examples
	Middle       int         // number of examples in half A: the first position of half B
	Order        Bits[int32] // the example at each position

	Layers []LayerFindings // in the order in which the layers were given
	Race   *RaceResult     // nil unless layers were chosen
}

// LayerFindings are what was measured of a layer.
type LayerFindings struct {
	Measured bool // or found to be none that can be measured
	Result   LayerResult
	Gains    Bits[float32] // of each example, by position; nil where there is no transfer figure
	// Noise is the standard error of what the layer could gain at best, as far as
	// these examples can tell: a gain that it hides is not seen.
	Noise float64
}

// Missing are the names of the layers that have not been measured.
func (f *Findings) Missing() []string {
	var names []string
	for _, l := range f.Layers {
		if !l.Measured {
			names = append(names, l.Result.Name)
		}
	}
	return names
}

// Check returns what keeps findings that were read from being those of a measurement
// that has evaluated the checkpoint.
func (f *Findings) Check() error {
	c := f.Checkpoint
	switch {
	case c == nil:
		return errors.New("the findings have no checkpoint")
	case f.N < 1 || f.Classes < 1 || f.Training < 0 || f.Direction < Line || f.Direction > Descent:
		return fmt.Errorf("the findings are of %d examples, %d classes and %d training examples, in direction %d", f.N, f.Classes, f.Training, f.Direction)
	case len(c.Losses) != f.N || len(c.Correct) != f.N || len(f.Order) != f.N || f.Middle < 0 || f.Middle > f.N:
		return fmt.Errorf("the findings have %d losses, %d answers and %d positions, %d in half A, of %d examples", len(c.Losses), len(c.Correct), len(f.Order), f.Middle, f.N)
	case c.NotFinite == 0 && (f.Metrics.Loss == nil || f.Metrics.StartLoss == nil || f.Metrics.Error == nil):
		return errors.New("the findings have no figures of the checkpoint")
	}
	there := make([]bool, f.N)
	for _, example := range f.Order {
		if example < 0 || int(example) >= f.N || there[example] {
			return fmt.Errorf("the findings have example %d twice, or it is none of %d", example, f.N)
		}
		there[example] = true
	}
	for _, l := range f.Layers {
		if n := len(l.Gains); n != 0 && n != f.N {
			return fmt.Errorf("the findings have %d gains of layer %s, and %d examples", n, l.Result.Name, f.N)
		}
	}
	return nil
}

// Join takes over the layers that were measured elsewhere, on the same model and
// examples with the same options. The error names all that was not the same, or the
// layers that were measured at both places; then f is as before.
func (f *Findings) Join(other *Findings) error {
	if err := f.sameAs(other); err != nil {
		return err
	}
	layers := slices.Clone(f.Layers)
	var twice []error
	for i, l := range other.Layers {
		switch {
		case !l.Measured:
		case !layers[i].Measured || layers[i].Result.Status == StatusSkipped:
			layers[i] = l
		default:
			twice = append(twice, fmt.Errorf("layer %s is measured twice", l.Result.Name))
		}
	}
	if twice == nil {
		f.Layers = layers
	}
	return errors.Join(twice...)
}

// sameAs returns in what else than the measured layers two findings differ.
func (f *Findings) sameAs(other *Findings) error {
	names := func(f *Findings) (list []string) {
		for _, l := range f.Layers {
			list = append(list, l.Result.Name)
		}
		return list
	}
	var differ []error
	for _, part := range []struct {
		what      string
		mine, its any
	}{
		{"number of examples", f.N, other.N},
		{"number of training examples", f.Training, other.Training},
		{"number of classes", f.Classes, other.Classes},
		{"direction", f.Direction.String(), other.Direction.String()},
		{"number of layers that intervals are corrected for", f.Tests, other.Tests},
		{"share of the parameters that can be measured", f.Coverage, other.Coverage},
		{"number of examples that those given were drawn from", f.DrawnFrom, other.DrawnFrom},
		{"preprocessing's being guessed", f.PreprocessDetected, other.PreprocessDetected},
		{"calibration", f.Calibration, other.Calibration},
		{"temperature", f.Temperature, other.Temperature},
		{"loss of the training examples", f.TrainingLoss, other.TrainingLoss},
	} {
		if a, b, same := identical(part.mine, part.its); !same {
			differ = append(differ, fmt.Errorf("the %s is %s and %s", part.what, a, b))
		}
	}
	for _, part := range []struct {
		what      string
		mine, its any
	}{
		{"layers", names(f), names(other)},
		{"losses of the checkpoint", f.Checkpoint, other.Checkpoint},
		{"figures of the checkpoint", f.Metrics, other.Metrics},
		{"halves of the examples", [2]any{f.Middle, f.Order}, [2]any{other.Middle, other.Order}},
	} {
		if _, _, same := identical(part.mine, part.its); !same {
			differ = append(differ, fmt.Errorf("the %s are others", part.what))
		}
	}
	return errors.Join(differ...)
}

// identical reports whether two values have the same bits, and gives their texts.
func identical(mine, its any) (a, b []byte, same bool) {
	a, err1 := json.Marshal(mine)
	b, err2 := json.Marshal(its)
	return a, b, err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// inDataOrder brings what is given by position into the order of the data.
func (f *Findings) inDataOrder(figures []float32) []float32 {
	out := make([]float32, len(figures))
	for position, example := range f.Order {
		out[example] = figures[position]
	}
	return out
}

// Conclude is the report on what was measured: intervals that hold for all layers at
// once, verdicts, and the rules that are breached. Of the options it reads Threshold,
// Rules, Suppressions, Prior and PerExample. The findings stay as they are.
func (f *Findings) Conclude(opt Options) *Report {
	opt = opt.withDefaults()
	opt.Coverage, opt.DrawnFrom, opt.PreprocessDetected = f.Coverage, f.DrawnFrom, f.PreprocessDetected
	report := &Report{
		Metrics: f.Metrics, Complete: f.Checkpoint != nil && len(f.Missing()) == 0,
		N: f.N, Training: f.Training, Classes: f.Classes, Direction: f.Direction,
		Calibration: f.Calibration, Temperature: f.Temperature, Threshold: opt.threshold(RuleRecoverableLoss),
		Tests: f.Tests, Coverage: f.Coverage, Race: f.Race,
	}
	if t := f.Metrics.Temperature; t != nil {
		report.Metrics.Temperature = new(Temperature)
		*report.Metrics.Temperature = *t
	}
	if c := f.Checkpoint; opt.PerExample && c != nil && c.NotFinite == 0 {
		report.Metrics.Losses, report.Metrics.Right = f.inDataOrder(narrow(c.Losses)), c.Correct
	}
	for _, l := range f.Layers {
		result := l.Result
		if t := result.Transfer; t != nil {
			result.Transfer = new(Transfer)
			*result.Transfer = *t
			if l.Gains != nil && opt.PerExample {
				result.Transfer.Gains = f.inDataOrder(l.Gains)
			}
		}
		report.Layers = append(report.Layers, result)
	}
	conclude(report, f, opt)
	return report
}
