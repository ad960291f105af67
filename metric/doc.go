// Package metric holds what a classifier is trained on and judged by: the
// losses that training may lower, described by [Loss], and figures as functions
// of logits and labels: cross-entropy, error, expected calibration error, the
// best temperature. An [Estimate] is a mean over examples with its interval.
//
// Losses are in nats. Sums over examples are float64.
package metric
