package main

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/modeldoctor/modeldoctor/graph"
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
