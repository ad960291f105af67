// Package testdevice says what tests compute on, for all of them in one place: [Each]
// runs a test's body on every backend that is at hand, but for those that the list
// of what is left out names with a reason ([leftOut]).
//
//	cpu   the host: always
//	fake  the device that the CPU plays (graph/gpu/fake): with the build tag gpu
//	gpu   the machine's GPU, in the fake one's place: where MODELDOCTOR_TEST_DEVICE is gpu
//
// A test is of this table if what it checks is computed by an operation, a plan, a
// runner or a vector of weights. What only reads a file, builds a network or does
// statistics with numbers of the host computes nothing on a device and is not; nor is
// what is about the host alone (threads, vector widths, the very bits of its sums) or
// about a device alone (its faults, its memory), which says so by calling [Open].
package testdevice
