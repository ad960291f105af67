package nn

// Coded examples are those whose elements are bytes, each of which stands for a
// value. A device decodes them itself: what travels to it is a quarter.
type Coded interface {
	Examples
	// Code says which values the bytes stand for. It must not be changed.
	Code() *Code
	// ReadBytes writes example i to dst as bytes, as many as Read writes values, to
	// which they decode bit for bit. It may be called from several goroutines at
	// once.
	ReadBytes(i int, dst []byte) error
}

// Code is what bytes stand for: byte b of element e stands for
//
//	Values[e / Run mod len(Values)][b]
//
// Values are those of each channel, and Run is the number of consecutive elements of
// one channel: an image's area where channels are planes, 1 where each pixel has its
// channels side by side. An example has a multiple of len(Values)·Run elements.
type Code struct {
	Values [][256]float32
	Run    int
}

// Decode writes what the bytes of whole examples stand for to dst.
func (c *Code) Decode(dst []float32, src []byte) {
	for lo, run := 0, 0; lo < len(src); lo, run = lo+c.Run, run+1 {
		values := &c.Values[run%len(c.Values)]
		to := dst[lo : lo+c.Run]
		for i, b := range src[lo : lo+c.Run] {
			to[i] = values[b]
		}
	}
}
