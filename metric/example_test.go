package metric_test

import (
	"fmt"

	"github.com/modeldoctor/modeldoctor/metric"
)

// The mean drop of the loss over examples is significant if its interval lies
// above zero.
func ExampleNewEstimate() {
	drop := metric.NewEstimate([]float64{0.2, 0.1, 0.3, 0.2})
	fmt.Printf("%.2f ± %.2f, significant: %t\n", drop.Mean, drop.HalfWidth(), drop.CI95[0] > 0)
	// Output:
	// 0.20 ± 0.08, significant: true
}

// A model that is right three times out of four, and as sure of itself each time
// as if it were always right.
func ExampleLogits_FitTemperature() {
	s := metric.NewLogits(2, []int{0, 0, 0, 1})
	for i := range s.Len() {
		copy(s.Row(i), []float32{8, 0})
	}
	temperature, ok := s.FitTemperature()
	before, after := s.Losses(1), s.Losses(1/temperature)
	fmt.Println("over-confident:", ok && temperature > 1)
	fmt.Println("the loss falls:", metric.PairedDrop(before, after).Mean > 0)
	// Output:
	// over-confident: true
	// the loss falls: true
}
