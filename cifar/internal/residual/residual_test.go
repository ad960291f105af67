package residual

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 3*imageBytes)
	for i := range noise {
		noise[i] = byte(rng.UintN(256)) // residuals beyond ±127 in every plane
	}
	labels := []byte{0, 99, 255}
	gotLabels, gotPixels, err := Decode(Encode(labels, noise))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(gotLabels, labels) || !bytes.Equal(gotPixels, noise) {
		t.Error("what is decoded is not what was encoded")
	}
}

func TestDecodeBroken(t *testing.T) {
	data := Encode([]byte{1}, make([]byte, imageBytes))
	for name, broken := range map[string][]byte{"truncated": data[:len(data)-5], "not deflate": []byte("\xff\xff")} {
		if _, _, err := Decode(broken); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
