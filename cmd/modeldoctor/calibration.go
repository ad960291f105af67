package main

import (
	"math"
	"strconv"

	"github.com/modeldoctor/modeldoctor/diag"
	"github.com/modeldoctor/modeldoctor/report"

	"github.com/urfave/cli/v2"
)

// calibrationFlag says what logits are divided by where a loss is taken. and says what
// comes of that.
func calibrationFlag(and string) cli.Flag {
	return stringFlag(categoryMethod, "calibration", "HOW", report.CalibrationFit, "what logits are divided by wherever a loss is taken: fit, the temperature that fits the validation images best ("+and+"); none; or a temperature")
}

// readCalibration reads that flag: the temperature, as [diag.Options] and pol have it, 1
// for none and 0 for the one that fits best.
func readCalibration(c *cli.Context) (temperature float64, err error) {
	switch text := c.String("calibration"); text {
	case report.CalibrationFit:
		return 0, nil
	case report.CalibrationNone:
		return 1, nil
	default:
		temperature, err = strconv.ParseFloat(text, 64)
		if err != nil || !(temperature > 0) || math.IsInf(temperature, 1) {
			return 0, usage("--calibration: %q is neither fit nor none nor a positive number", text).withHint("logits are divided by it: 2.5 makes a model less confident")
		}
		return temperature, nil
	}
}

// calibrationOf is the --calibration that a report was made with.
func calibrationOf(c *report.Check) float64 {
	switch kind := diag.Calibration(c.Calibration); {
	case kind == diag.Raw:
		return 1
	case kind == diag.Given && c.Calibrated != nil:
		return *c.Calibrated
	}
	return 0
}
