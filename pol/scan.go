package pol

import (
	"math"
	"slices"
)

// Limits of the scan of Search.
const (
	firstScale = 1.0 // c begins here
	maxChanges = 14  // doublings, or halvings, of c
	scanPoints = 16  // equally spaced, of (0, c]
)

// scanAlong finds c* along a gradient: losses(c) are the losses at w − c·g for each
// of some c, and base is that at w. From firstScale on, c is doubled until the loss rises above base;
// if it does at once, c is halved until it does not. The range ends at the last c
// that rose, and c* is the best of scanPoints points of it. A loss that is not
// finite counts as risen. found is false where there is no such range: the step
// is then rejected.
//
// The scan meets some of the points that the doubling has met. They are not
// computed twice.
func scanAlong(base float64, losses func(c []float64) ([]float64, error)) (best float64, found bool, err error) {
	known := map[float64]float64{}
	evaluate := func(points ...float64) error {
		points = slices.DeleteFunc(points, func(c float64) bool { _, ok := known[c]; return ok })
		if len(points) == 0 {
			return nil
		}
		values, err := losses(points)
		if err != nil {
			return err
		}
		for i, v := range values {
			if math.IsNaN(v) {
				v = math.Inf(1)
			}
			known[points[i]] = v
		}
		return nil
	}
	end, found, err := scanRange(base, func(c float64) (float64, error) {
		err := evaluate(c)
		return known[c], err
	})
	if err != nil || !found {
		return 0, false, err
	}
	points := make([]float64, scanPoints)
	for i := range points {
		points[i] = end * float64(i+1) / scanPoints
	}
	if err := evaluate(slices.Clone(points)...); err != nil {
		return 0, false, err
	}
	lowest := math.Inf(1)
	for _, c := range points {
		if known[c] < lowest {
			lowest, best = known[c], c
		}
	}
	return best, best > 0, nil
}

// scanRange returns the last c whose loss rose above base.
func scanRange(base float64, at func(c float64) (float64, error)) (end float64, found bool, err error) {
	c := firstScale
	v, err := at(c)
	if err != nil {
		return 0, false, err
	}
	risen := v > base
	factor := 2.0
	if risen {
		factor = 0.5
	}
	for range maxChanges {
		if v, err = at(c * factor); err != nil {
			return 0, false, err
		}
		if risen && !(v > base) {
			return c, true, nil
		}
		c *= factor
		if !risen && v > base {
			return c, true, nil
		}
	}
	return 0, false, nil
}
