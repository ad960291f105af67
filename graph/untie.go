package graph

import (
	"fmt"
	"strings"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// CheckUnshared returns an *Error that names the first weight of the layers that
// serves other places, too, and its uses (see [Network.Shared]): training it
// moves it there as well. Layers are named as [Network.FindLayer] has it.
func (n *Network) CheckUnshared(layers []string) error {
	weight, uses, err := n.firstShared(layers)
	if err != nil || uses == nil {
		return err
	}
	w := n.Weights[weight]
	return &Error{Path: n.Model.Path,
		Msg:  fmt.Sprintf("weight %q (tensor %q) of the layer to train is used at %d places: %s", w.Name, w.Tensor.Name, len(uses), listUses(uses)),
		Help: "--shared update trains it for all of them, --shared untie gives the trained layer a copy of its own"}
}

// Untied returns the network of a model in which no weight of the layers serves
// another place: where one does, the other parameters that its tensor is read as
// get a copy each, and its own keeps the tensor. Layers are named as
// [Network.FindLayer] has it, by names that mean the same in both networks; all
// else, the indices of weights included, may differ. Where nothing is shared the
// result is n itself; otherwise its model lies in memory (see
// [onnx.Model.Untied]) and is the caller's to close, and n.Model stays open.
//
// A use that does not tell what parameter it reads is refused: the error is an
// *Error, or an [*onnx.FormatError] where the file's form is in the way.
func (n *Network) Untied(layers []string) (*Network, error) {
	untied := n
	for {
		weight, uses, err := untied.firstShared(layers)
		if err == nil && uses == nil {
			return untied, nil
		}
		var next *Network
		if err == nil {
			next, err = untied.untie(weight, uses)
		}
		if untied != n {
			_ = untied.Model.Close() // it lies in memory, and nothing refers to it
		}
		if err != nil {
			return nil, err
		}
		untied = next
	}
}

// firstShared is the first weight of the layers that has other uses, and all its
// uses; nil where there is none.
func (n *Network) firstShared(layers []string) (weight int, uses []onnx.Use, err error) {
	for _, name := range layers {
		_, l, err := n.FindLayer(name)
		if err != nil {
			return 0, nil, &Error{Path: n.Model.Path, Msg: "a layer to train cannot be told apart", Err: err, Help: sharedHelp}
		}
		for _, w := range l.Weights {
			if uses := n.Shared(w); uses != nil {
				return w, uses, nil
			}
		}
	}
	return 0, nil, nil
}

// sharedHelp helps against a weight that cannot be untied.
const sharedHelp = "--shared update trains it for all of its uses"

// untie gives those of a weight's uses a copy that read it as one other parameter
// than the weight's own, the first that there is.
func (n *Network) untie(weight int, uses []onnx.Use) (*Network, error) {
	w := n.Weights[weight]
	keeps := uses[0].Path // what the tensor itself goes on to serve
	for _, u := range uses {
		if u.Path == "" {
			return nil, &Error{Path: n.Model.Path,
				Msg:  fmt.Sprintf("weight %q cannot be untied: %s does not tell what it is there", w.Name, u.Node.Label()),
				Help: sharedHelp}
		}
		if u.Path == w.Name {
			keeps = u.Path
		}
	}
	var others []onnx.Use
	for _, u := range uses {
		if u.Path != keeps && (len(others) == 0 || u.Path == others[0].Path) {
			others = append(others, u)
		}
	}
	model, err := n.Model.Untied(w.Tensor, others)
	if err != nil {
		return nil, err
	}
	untied, err := Build(model, n.options)
	if err != nil {
		_ = model.Close() // it lies in memory
	}
	return untied, err
}

// listUses names the first few places at which a weight is read.
func listUses(uses []onnx.Use) string {
	const most = 6
	var places []string
	for _, u := range uses[:min(len(uses), most)] {
		place := u.Node.Label()
		if u.Path != "" {
			place = u.Path + " in " + place
		}
		places = append(places, place)
	}
	if more := len(uses) - most; more > 0 {
		places = append(places, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(places, ", ")
}
