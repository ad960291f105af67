package dataset

import "math/rand/v2"

// FlipCrop is the usual augmentation of small photographs: mirrored left to
// right with probability one half, and shifted by up to an eighth of the height
// and width each way, with black where nothing is left. On images of 32×32
// pixels this is a random crop with a margin of 4.
//
// It changes planes that p has made by [Preprocess.Bytes], and of opacity if there is
// one, in place.
func (p *Preprocess) FlipCrop(planes []byte, random *rand.Rand) {
	h, w := p.Size[0], p.Size[1]
	mirrored := random.IntN(2) == 1
	dy, dx := random.IntN(2*(h/8)+1)-h/8, random.IntN(2*(w/8)+1)-w/8
	old := make([]byte, h*w)
	for lo := 0; lo < len(planes); lo += h * w {
		plane := planes[lo:][:h*w]
		copy(old, plane)
		for y := range h {
			for x := range w {
				from := x + dx
				if mirrored {
					from = w - 1 - x + dx
				}
				value := byte(0)
				if row := y + dy; row >= 0 && row < h && from >= 0 && from < w {
					value = old[row*w+from]
				}
				plane[y*w+x] = value
			}
		}
	}
}
