package pol

import "math"

// rate is the learning rate of step k of all.
func (o *Options) rate(k, all int) float64 {
	if o.Schedule == Constant {
		return o.Rate
	}
	return o.Rate * (1 + math.Cos(math.Pi*float64(k)/float64(all))) / 2
}
