package diag

import "testing"

// TestRecoverableLossMessage: the bound in the message is the one that the level
// rests on. The limit is 0.02 nats; of three layers at once the lower end lies
// 2.394 standard errors below the mean, of one alone 1.960.
func TestRecoverableLossMessage(t *testing.T) {
	for _, c := range []struct {
		gain float64
		want string
	}{
		{0.045, "moving this layer takes 0.045 ± 0.02 nats off the loss of unseen examples, at least 0.0211 (97.5 % one-sided, all layers at once): over 0.02 (1 % of the loss)"},
		{0.042, "moving this layer takes 0.042 ± 0.02 nats off the loss of unseen examples, at least 0.0224 (97.5 % one-sided, this layer alone; 0.0181 all layers at once): over 0.02 (1 % of the loss)"},
	} {
		r, found := healthy()
		r.Layers[1].Transfer = transferFigure(c.gain, 0.01)
		conclude(r, found, Options{Coverage: 1})
		if len(r.Violations) != 1 || r.Violations[0].Message != c.want {
			t.Errorf("gain %v: %+v, want %s", c.gain, r.Violations, c.want)
		}
	}
}
