package op

import (
	"fmt"
	"sort"

	"github.com/modeldoctor/modeldoctor/onnx"
)

// Call is one ONNX node being lowered.
type Call struct {
	*Program
	Node  *onnx.Node
	Opset int64    // version of the node's domain that the model imports
	In    []*Value // the node's inputs in order, nil where absent
}

// Arg returns input i, or nil where the node has no such input.
func (c *Call) Arg(i int) *Value {
	if i < len(c.In) {
		return c.In[i]
	}
	return nil
}

// Need returns input i or an error that says it is missing.
func (c *Call) Need(i int) (*Value, error) {
	if v := c.Arg(i); v != nil {
		return v, nil
	}
	return nil, fmt.Errorf("input %d is missing", i)
}

// along returns input 0 and the axis of it that the attribute axis names, def
// where it is absent.
func (c *Call) along(def int64) (x *Value, axis int, err error) {
	if x, err = c.Need(0); err != nil {
		return nil, 0, err
	}
	axis, err = resolveAxis(c.Node.Int("axis", def), x.Type.Rank())
	return x, axis, err
}

// knownNumber returns input i, which must be a constant of one element. what
// names it in the error.
func (c *Call) knownNumber(i int, what string) (*Value, error) {
	v, err := c.Need(i)
	if err == nil && (v.Const == nil || v.Type.Elements() != 1) {
		err = fmt.Errorf("%s (input %d) must be one known number, found %v", what, i, v.Type)
	}
	return v, err
}

// KnownInts returns the elements of input i, which must be a constant of an
// integer type; nil where the input is absent. what names it in the error.
func (c *Call) KnownInts(i int, what string) ([]int64, error) {
	v := c.Arg(i)
	if v == nil {
		return nil, nil
	}
	if v.Const == nil {
		return nil, fmt.Errorf("%s (input %d) must be known when the graph is read, but depends on the image or on a weight", what, i)
	}
	ints, ok := v.Const.AsInts()
	if !ok {
		return nil, fmt.Errorf("%s (input %d) must be integers, found %v", what, i, v.Type)
	}
	return ints, nil
}

// IntsFrom returns integers that older opsets hold in the attribute and newer
// ones in input i; nil where neither is present.
func (c *Call) IntsFrom(attribute string, i int) ([]int64, error) {
	if c.Node.Has(attribute) {
		return c.Node.Ints(attribute), nil
	}
	return c.KnownInts(i, attribute)
}

// Lowering translates one ONNX node into Ops. It returns one value per output
// the node may have; trailing ones and absent ones may be nil. An error names
// what is unsupported or wrong; the caller adds the node.
type Lowering func(c *Call) ([]*Value, error)

// Entry is one operator of the registry.
type Entry struct {
	Domain   string // "" is ai.onnx
	Name     string
	Min, Max int64 // opset versions whose semantics Lower knows, inclusive
	Lower    Lowering

	// Filled in by NewRegistry, for the list of what is supported.
	NoGradient string // why there is no gradient; "" where there is one
	Limit      string // what of the operator is not supported
}

// MaxOpset is the newest ai.onnx opset the lowerings were written for.
const MaxOpset = 28

// UnsupportedError says that a node's operator, or its version, is not known.
type UnsupportedError struct {
	Domain, Name string
	Opset        int64
	Reason       string
}

func (e *UnsupportedError) Error() string {
	name := e.Name
	if e.Domain != "" {
		name = e.Domain + "." + name
	}
	return fmt.Sprintf("operator %s (opset %d): %s", name, e.Opset, e.Reason)
}

// Registry finds lowerings by operator.
type Registry struct {
	entries map[[2]string]Entry
}

// NewRegistry returns the registry of all operators of this package. Each
// family contributes its entries by one line here.
func NewRegistry() *Registry {
	r := &Registry{entries: map[[2]string]Entry{}}
	reasons, limited := withoutGradient(), limits()
	for _, family := range families() {
		for _, e := range family {
			key := [2]string{e.Domain, e.Name}
			if _, dup := r.entries[key]; dup {
				panic("op: registered twice: " + e.Name)
			}
			e.NoGradient, e.Limit = reasons[e.QualifiedName()], limited[e.QualifiedName()]
			r.entries[key] = e
		}
	}
	return r
}

// Lookup returns the entry for an operator, whatever its version.
func (r *Registry) Lookup(domain, name string) (e Entry, ok bool) {
	e, ok = r.entries[[2]string{canonical(domain), name}]
	return e, ok
}

// canonical is the domain as [Entry] has it: ONNX's own has two spellings.
func canonical(domain string) string {
	if domain == "ai.onnx" {
		return ""
	}
	return domain
}

// Find returns the entry for an operator, or an *UnsupportedError.
func (r *Registry) Find(domain, name string, opset int64) (Entry, error) {
	domain = canonical(domain)
	e, ok := r.Lookup(domain, name)
	if !ok {
		return Entry{}, &UnsupportedError{domain, name, opset, "not supported"}
	}
	if opset < e.Min || opset > e.Max {
		return Entry{}, &UnsupportedError{domain, name, opset, fmt.Sprintf("supported in opsets %d to %d", e.Min, e.Max)}
	}
	return e, nil
}

// Entries returns all operators, sorted by domain and name.
func (r *Registry) Entries() []Entry {
	all := make([]Entry, 0, len(r.entries))
	for _, e := range r.entries {
		all = append(all, e)
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].Domain != all[j].Domain {
			return all[i].Domain < all[j].Domain
		}
		return all[i].Name < all[j].Name
	})
	return all
}
