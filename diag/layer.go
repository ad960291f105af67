package diag

// A Layer is a group of weights that is moved as one.
type Layer struct {
	Name       string
	Index      int    // position among all layers of the model, in forward order
	Weights    []int  // the model's numbers of its weights, none in two layers
	Parameters int    // number of scalars in them
	Neck       int    // the highest neck below every use of its weights
	Skip       string // why it cannot be measured; empty if it can
}
