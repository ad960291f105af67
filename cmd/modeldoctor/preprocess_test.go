package main

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// TestChannelsOfGrey: an order of colours is refused where there is one channel, which
// it would not change.
func TestChannelsOfGrey(t *testing.T) {
	m := &loaded{network: &graph.Network{Input: graph.InputSpec{Channels: 1, Height: 28, Width: 28}}}
	con := newConsole(io.Discard, true)
	if _, _, err := choosePreprocess(context.Background(), dataOptions{preprocess: "mnist"}, m, nil, con); err != nil {
		t.Fatal(err)
	}
	_, _, err := choosePreprocess(context.Background(), dataOptions{preprocess: "mnist", channels: "bgr"}, m, nil, con)
	if exitCode(err) != exitUsage || !strings.Contains(err.Error(), "--channels") {
		t.Errorf("got %v, want a usage error about --channels", err)
	}
}

// TestScalingOfBytes: a preprocessing that scales the pixels is refused for a model that
// takes them as they are.
func TestScalingOfBytes(t *testing.T) {
	m := &loaded{network: &graph.Network{Input: graph.InputSpec{DType: onnx.Uint8, Channels: 3, Height: 28, Width: 28}}}
	con := newConsole(io.Discard, true)
	if _, _, err := choosePreprocess(context.Background(), dataOptions{preprocess: "raw255"}, m, nil, con); err != nil {
		t.Fatal(err)
	}
	_, _, err := choosePreprocess(context.Background(), dataOptions{preprocess: "imagenet"}, m, nil, con)
	if exitCode(err) != exitUnreadable || !strings.Contains(err.Error(), "UINT8") {
		t.Errorf("got %v, want an error about the input's type", err)
	}
}

// TestProbeOfBytes: what is no byte of a pixel is refused for a model that takes those.
func TestProbeOfBytes(t *testing.T) {
	n := &graph.Network{Input: graph.InputSpec{DType: onnx.Uint8, Layout: graph.NHW, Channels: 1, Height: 1, Width: 2}}
	path := filepath.Join(t.TempDir(), "x.f32")
	for x, right := range map[float32]bool{0: true, 255: true, 256: false, -1: false, 0.5: false, float32(math.Inf(1)): false, float32(math.NaN()): false} {
		data := binary.LittleEndian.AppendUint32(make([]byte, 4), math.Float32bits(x))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		values, err := readFloats(context.Background(), path, n)
		if right != (err == nil) || right && values[1] != x || !right && (exitCode(err) != exitUnreadable || !strings.Contains(err.Error(), "value 1 of input 0")) {
			t.Errorf("%v: got %v, %v", x, values, err)
		}
	}
}
