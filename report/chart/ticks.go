package chart

import (
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
)

// fewestLabels is how many numbers an axis has at least.
const fewestLabels = 3

// linearTicks are at round numbers, about so many, written with the decimals that tell
// them apart.
type linearTicks struct{ about int }

// Ticks implements [plot.Ticker].
func (t linearTicks) Ticks(low, high float64) []plot.Tick {
	for about := t.about; ; about++ {
		step := roundStep((high - low) / float64(about))
		var ticks []plot.Tick
		for k := math.Ceil(low / step); k*step <= high && len(ticks) <= 2*about; k++ {
			ticks = append(ticks, plot.Tick{Value: k * step, Label: number(k*step, step, math.Max(math.Abs(low), math.Abs(high)))})
		}
		if len(ticks) >= fewestLabels || about > 4*t.about {
			return ticks
		}
	}
}

// roundStep is the least of 1, 2 and 5, times a power of ten, that is at least x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, digit := range []float64{1, 2, 5} {
		if digit*power >= x {
			return digit * power
		}
	}
	return 10 * power
}

// number writes a multiple of step so that it differs from the next, on an axis whose
// numbers are at most so large: with an exponent where it would be long otherwise.
func number(x, step, largest float64) string {
	const (
		long  = 1e6
		short = 1e-4
	)
	decimals := max(0, -magnitude(step))
	if x == 0 {
		return "0"
	}
	if largest < long && step >= short {
		return strconv.FormatFloat(x, 'f', decimals, 64)
	}
	return strconv.FormatFloat(x, 'e', max(0, magnitude(x)-magnitude(step)), 64)
}

// magnitude is the power of ten of a number's first digit.
func magnitude(x float64) int {
	// Rounded first: 0.3/3 and 0.1 have the same one.
	text := strconv.FormatFloat(math.Abs(x), 'e', 6, 64)
	power, err := strconv.Atoi(text[len("1.000000e"):])
	if err != nil {
		panic(err) // x is finite
	}
	return power
}

// logTicks are at powers of ten, and between them where there are too few of
// these.
type logTicks struct{ about int }

// Ticks implements [plot.Ticker].
func (t logTicks) Ticks(low, high float64) []plot.Tick {
	first, last := magnitude(low), magnitude(high)
	for _, labelled := range [][]float64{{1}, {1, 2, 5}} {
		var ticks []plot.Tick
		labels, every := 0, 1+(last-first)/(2*t.about) // of the powers of ten
		for power := first; power <= last; power++ {
			for digit := 1.0; digit < 10; digit++ {
				x := digit * math.Pow(10, float64(power))
				if x < low || x > high {
					continue
				}
				tick := plot.Tick{Value: x}
				if (power-first)%every == 0 && slices.Contains(labelled, digit) {
					tick.Label = strconv.FormatFloat(x, 'g', 3, 64)
					labels++
				}
				ticks = append(ticks, tick)
			}
		}
		if labels >= fewestLabels {
			return ticks
		}
	}
	return linearTicks(t).Ticks(low, high)
}
