//go:build !(gpu && linux && cgo)

package main

// fakeGPU is "": this program cannot use one.
func fakeGPU() string { return "" }
