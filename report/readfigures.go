package report

import (
	"fmt"
	"math"

	"github.com/modeldoctor/modeldoctor/metric"
)

// rounding is how far figures that follow from each other may be apart, as a share of the
// interval's half width: a report whose numbers were rounded to two digits is no other.
const rounding = 0.05

// slack is how far the ends of an interval may be from where the standard error has them.
func slack(mean, se float64) float64 { return rounding*metric.Z95*se + 1e-9*math.Abs(mean) }

// agrees returns an error where the 95 % interval of a mean at that place of a report is
// not the one that its standard error makes: somebody has changed one of them.
func agrees(at string, mean, se float64, ci [2]float64) error {
	want := metric.NormalEstimate(mean, se).CI95
	for i, end := range ci {
		if !(math.Abs(end-want[i]) <= slack(mean, se)) {
			return fmt.Errorf("the report's %s.ci95 is from %.6g to %.6g, and by se, %.6g, it is from %.6g to %.6g", at, ci[0], ci[1], se, want[0], want[1])
		}
	}
	return nil
}

// consistent returns what is wrong with figures that were read: those of the temperature,
// and means that are not those of the images beside them.
func (m *Metrics) consistent() error {
	if t := m.Temperature; t != nil {
		if !(t.SE >= 0) {
			return fmt.Errorf("the report's metrics.temperature.se is %v, expected none below 0", t.SE)
		}
		if err := agrees("metrics.temperature", t.Mean, t.SE, t.CI95); err != nil {
			return err
		}
	}
	if m.Error != nil && len(m.Right) > 0 {
		wrong := 0
		for _, right := range m.Right {
			if !right {
				wrong++
			}
		}
		if share := float64(wrong) / float64(len(m.Right)); math.Abs(share-*m.Error) > 1e-6 {
			return fmt.Errorf("the report's metrics.error is %.6g, and by metrics.right it is %.6g", *m.Error, share)
		}
	}
	return nil
}
