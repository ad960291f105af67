//go:build gpu && linux && cgo

package main

import "github.com/modeldoctor/modeldoctor/graph/gpu/fake"

// fakeGPU is the driver of the fake GPU, "" where it cannot be built.
func fakeGPU() string {
	library, err := fake.Build()
	if err != nil {
		return ""
	}
	return library
}
