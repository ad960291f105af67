package onnx

// integerOperator says at which inputs an operator of integers has a weight, its scale
// and its zero point, and along which axis they change.
type integerOperator struct {
	domain              string
	weight, scale, zero int
	axis                int
}

// byOthers stands for a scale that is not an operator's, but multiplied by afterwards.
const byOthers = -1

var integerOperators = map[string]integerOperator{
	"MatMulInteger":         {weight: 1, scale: byOthers, zero: 3, axis: -1},
	"ConvInteger":           {weight: 1, scale: byOthers, zero: 3, axis: 0},
	"QLinearConv":           {weight: 3, scale: 4, zero: 5, axis: 0},
	"QLinearMatMul":         {weight: 3, scale: 4, zero: 5, axis: -1},
	"QGemm":                 {domain: microsoft, weight: 3, scale: 4, zero: 5, axis: -1},
	"DynamicQuantizeMatMul": {domain: microsoft, weight: 1, scale: 2, zero: 3, axis: -1},
	"MatMulIntegerToFloat":  {domain: microsoft, weight: 1, scale: 3, zero: 5, axis: -1},
}

// microsoft is the domain of ONNX Runtime's own operators.
const microsoft = "com.microsoft"

// weightOf returns the weight's input of an operator of integers.
func weightOf(n *Node) (input int, ok bool) {
	o, ok := integerOperators[n.OpType]
	return o.weight, ok && o.domain == n.Domain
}

// factorFinder finds the scales of products of integers in the nodes after them.
type factorFinder struct {
	model  *Model
	uses   uses             // made when first asked for
	makers map[string]*Node // likewise
}

// factor returns the scale of the weight of a product of integers, and the node that
// multiplies it by the scale of the activations, as ONNX Runtime writes them:
//
//	product → Cast → Mul(·, Mul(scale of the activations, scale of the weight))
//
// nil where nothing of the kind follows, or where one of the values in between is read
// by others, too.
func (f *factorFinder) factor(product *Node) (*Tensor, []*Node) {
	if f.uses == nil {
		f.uses, f.makers = usesOf(f.model), map[string]*Node{}
		for _, n := range f.model.Nodes {
			for _, out := range n.Outputs {
				f.makers[out] = n
			}
		}
	}
	value := product.Outputs[0]
	for {
		readers := f.uses[value]
		if len(readers) != 1 || len(readers[0].node.Outputs) == 0 {
			return nil, nil
		}
		n := readers[0].node
		switch n.OpType {
		case "Cast":
			value = n.Outputs[0]
			continue
		case "Mul":
			scales := n.Inputs[1-readers[0].input]
			both := f.makers[scales]
			if both == nil || both.OpType != "Mul" || len(f.uses[scales]) != 1 {
				return nil, nil
			}
			for i, name := range both.Inputs {
				other := f.makers[both.Inputs[1-i]]
				if t := f.model.constants[name]; t != nil && other != nil && other.OpType == "DynamicQuantizeLinear" {
					return t, []*Node{both}
				}
			}
		}
		return nil, nil
	}
}
