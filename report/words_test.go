package report

import "testing"

// TestShellWord: a command in a hint can be pasted.
func TestShellWord(t *testing.T) {
	for path, want := range map[string]string{
		"models/vit-b_16.onnx": "models/vit-b_16.onnx", "a model.onnx": "'a model.onnx'", "it's": `'it'\''s'`, "": "''", "$(x)": "'$(x)'", "モデル.onnx": "モデル.onnx",
	} {
		if got := shellWord(path); got != want {
			t.Errorf("%q is written %s, want %s", path, got, want)
		}
	}
}

func TestSizeAndDuration(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.00 kB", 36_864_000: "36.9 MB", 412_400_000: "412 MB", 999_600_000: "1.00 GB", 9_996_000: "10.0 MB", 99_960: "100 kB", 5e15: "5000 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d bytes are written %s, want %s", n, got, want)
		}
	}
	for s, want := range map[float64]string{0: "0.00 s", 0.994: "0.99 s", 0.996: "1.0 s", 95.42: "95.4 s", 99.96: "1 min 40 s", 3599.4: "59 min 59 s", 3599.6: "1 h 00 min", 11100: "3 h 05 min"} {
		if got := duration(s); got != want {
			t.Errorf("%v s are written %s, want %s", s, got, want)
		}
	}
}
