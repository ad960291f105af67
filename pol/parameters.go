package pol

import "github.com/modeldoctor/modeldoctor/nn"

// parameters are the weights that are trained, with their values.
type parameters struct {
	group
	model  nn.Model
	values *nn.Vector
}

// newParameters begins with the checkpoint's values.
func newParameters(m nn.Model, g group) (*parameters, error) {
	checkpoint, err := nn.Checkpoint(m, g.weights)
	if err != nil {
		return nil, err
	}
	values, err := nn.NewVector(m, g.weights)
	if err != nil {
		return nil, err
	}
	return &parameters{g, m, values}, values.Copy(checkpoint)
}

// install gives the model the values of some weights as they are now, trained or
// the checkpoint's, after others have been in their place.
func (p *parameters) install(weights []int) {
	for _, w := range weights {
		if p.values.Has(w) {
			p.values.Override(w)
		} else {
			p.model.Override(w, nil)
		}
	}
}
