// Package nn is what a diagnosis and a treatment see of a neural network and of the
// memory that it computes in.
//
// A [Model] is a chain of stages between necks, whose numbers live on a [Device].
// Nobody but the device looks into its memory: what a diagnosis and a treatment do
// with numbers they do through
//
//   - [Activations], some examples at one neck, which are loaded, advanced and
//     evaluated, and lie wherever there is room for them;
//   - [Vector], a value for each of some weights, such as new weights or a
//     gradient.
//
// Both are written once, for every device. [Host] is the device whose memory is
// slices; with it nothing is copied that is not moved.
//
// Whatever a device does may fail, and every method that lets it do something
// returns its error. Only the host's memory cannot be exhausted politely: there,
// as anywhere in Go, an allocation succeeds or ends the program.
package nn
