// Package metric holds the figures that a classifier is judged by, as functions
// of its logits and of the labels: cross-entropy, error, expected calibration
// error, the best temperature, and means of paired differences with their
// intervals.
//
// Losses are in nats. Sums over examples are float64.
package metric
