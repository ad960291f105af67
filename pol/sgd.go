package pol

import "math"

// scheduled is the learning rate of step k of all, of which rate is the largest.
func (o *Options) scheduled(rate float64, k, all int) float64 {
	if o.Schedule == Constant {
		return rate
	}
	return rate * (1 + math.Cos(math.Pi*float64(k)/float64(all))) / 2
}
