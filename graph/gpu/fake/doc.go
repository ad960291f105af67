// Package fake is a device for tests where there is none: a libcuda, a libcublas
// and a libcublasLt in one, in src, that run the same kernels on the CPU. It exercises
// the driver, the launches, the kernels' arithmetic and the memory's use for
// real; it says nothing of speed, of PTX, or of how a card rounds.
//
// Every allocation lies between pages that cannot be touched and begins as NaN;
// its address is not the host's, so that mixing the two up crashes, and is never
// used again. Pinned memory of the host that is uploaded is read as late as a card may
// read it, so that writing to it too early shows. A kernel must give the same bits in whatever order its threads
// run, which [Faults].Order changes.
//
// A crash within a kernel ends the test's process; with MODELDOCTOR_FAKE_TRACE
// set, the kernels' names, grids and blocks are printed as they are launched.
//
// It is compiled by g++ once for a version of its sources, and kept in the
// user's cache. Tests that need it are skipped where there is no g++.
package fake
