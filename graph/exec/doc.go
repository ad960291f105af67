// Package exec runs the graphs of package op.
//
// [Compile] turns a graph into a [Plan]: the steps that the chosen outputs need,
// in order, and a layout of one block of memory, the arena, in which every
// intermediate result has a place for just as long as somebody still reads it.
// A [Machine] owns the arena and runs plans in it, one at a time:
//
//	plan, err := exec.Compile(graph, exec.Config{
//		Outputs:  []*gorgonia.Node{loss}, // kept until the next run
//		Streamed: gradients,              // handed over one by one, then forgotten
//	})
//	for _, n := range plan.Inputs() {
//		plan.Bind(n, value[n])
//	}
//	machine := exec.NewMachine(kernel.NewContext(threads))
//	err = machine.Run(ctx, plan, func(n *gorgonia.Node, a op.Array) error { … })
//	l := plan.Value(loss)
//
// What does not lead to an output is never run. Any node can be fed: its value
// is then given instead of computed and nothing below it is run, so that one
// graph serves both a whole pass and a pass that begins at a cut.
//
// # Memory
//
// Bound arrays are read in place and never written. Results live in the arena:
// two of them share bytes only if one is last read before the step that writes
// the other. A view (op.View) has no bytes of its own and keeps those of its
// parent alive. Streamed outputs are not kept alive at all, which is what makes
// the gradients of every weight of a large model fit: no more than one or two
// of them exist at a time.
//
// # Guarantees
//
// A run computes the same bits as calling each Op's Forward on fresh memory, for
// any number of threads: parallelism is inside the kernels only. A repeated run
// allocates nothing here. A run stops soon after its context is done, within the
// time that one kernel takes to notice; a panic in an Op becomes a [*StepError].
//
// # Devices
//
// Where the arrays are and what computes on them is a [Device]: [Kernels] is the
// host. Plans, their layout and the machine are the same for all: an addition to
// the result of a linear layer is a step with it, [LinearAdd], and a device may
// hold activations in bfloat16 (Config.BFloat16); for the host alone, a linear layer is
// a step with the GELU of its result, [LinearGELU], a convolution with what follows
// it (Config.OnHost, op.ConvThen), and steps whose maps are larger than a cache are run
// a few images at a time. What is said of bits above is the host's; another device says
// what it rounds.
//
// Gorgonia's own machines are not used: they merge nodes by a 32-bit hash without
// comparing them, need five to seven times the memory, and die of a panic in an
// Op. [VM] offers a plan where a gorgonia.VM is expected.
package exec
