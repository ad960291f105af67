package metric

import "testing"

func TestSignTest(t *testing.T) {
	for _, c := range []struct {
		wins, losses int
		want         float64
	}{
		{0, 0, 1}, {0, 7, 1}, {4, 0, 1. / 16}, {5, 0, 1. / 32}, {6, 0, 1. / 64},
		{12, 4, 2517. / 65536}, // (1820+560+120+16+1)/2¹⁶
		{3, 3, 42. / 64},
		{60, 40, 0.028443966820490392}, // by exact integers
	} {
		near(t, "p", SignTest(c.wins, c.losses), c.want, 1e-12, 1)
	}
}
