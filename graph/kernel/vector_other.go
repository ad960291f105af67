//go:build !amd64 && !arm64

package kernel

func vectorKernelsFor(v Variant) (*vectorKernels, bool) { return nil, v == Plain }
