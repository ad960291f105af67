package lowering

import (
	"fmt"
	"sort"
)

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

// NewRegistry returns the registry of all operators of this package, family by
// family: each is a file of this package.
func NewRegistry() *Registry {
	r := &Registry{entries: map[[2]string]Entry{}}
	for _, family := range [][]Entry{
		activationEntries(),
		attentionEntries(),
		binaryEntries(),
		castEntries(),
		col2ImEntries(),
		classicalEntries(),
		concatEntries(),
		constantEntries(),
		controlEntries(),
		convEntries(),
		cumSumEntries(),
		einsumEntries(),
		expandEntries(),
		gatherEntries(),
		identityEntries(),
		integerEntries(),
		logicEntries(),
		lpEntries(),
		matMulEntries(),
		normalizationEntries(),
		oneHotEntries(),
		padEntries(),
		poolEntries(),
		quantizeEntries(),
		reduceEntries(),
		reshapeEntries(),
		resizeEntries(),
		rotaryEntries(),
		scatterEntries(),
		sequenceEntries(),
		sliceEntries(),
		softmaxEntries(),
		topKEntries(),
		transposeEntries(),
		triangleEntries(),
		unaryEntries(),
	} {
		for _, e := range family {
			key := [2]string{e.Domain, e.Name}
			if _, dup := r.entries[key]; dup {
				panic("lowering: registered twice: " + e.Name)
			}
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
