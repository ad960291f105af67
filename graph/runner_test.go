package graph

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/graph/kernel"
	"github.com/modeldoctor/modeldoctor/internal/testdevice"
	"github.com/modeldoctor/modeldoctor/metric"
	"github.com/modeldoctor/modeldoctor/nn"
	"github.com/modeldoctor/modeldoctor/onnx"
)

// fixtureModels are the repository's models.
var fixtureModels = []string{"vit-cifar100", "tv-legacy17", "hf-vit-dynamo-default-ext", "tv-dynamo20-fp16", "timm-softmax-out-dynamo20", "tv-legacy14-fixed1-onnxsim"}

func openFixture(tb testing.TB, name string, opt Options) *Network {
	tb.Helper()
	m, err := onnx.Open(filepath.Join("..", "fixtures", name, "model.onnx"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close() })
	n, err := Build(m, opt)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// randomBatch returns examples of standard normal values with labels.
func randomBatch(n *Network, examples int) (in []float32, labels []int) {
	r := rand.New(rand.NewPCG(3, 4))
	in = make([]float32, examples*n.Input.Elements())
	for i := range in {
		in[i] = float32(r.NormFloat64())
	}
	for range examples {
		labels = append(labels, r.IntN(n.Classes))
	}
	return in, labels
}

// outcome is everything a runner computes for a batch.
type outcome struct {
	losses []float64
	logits []float32
	grads  map[int][]float32
}

// run computes it, on any device.
func run(ctx context.Context, n *Network, opt RunnerOptions, in []float32, labels []int) (out outcome, err error) {
	r := NewRunner(n, opt)
	defer r.Close()
	d := r.Device()
	images, err := d.Import(in)
	if err != nil {
		return out, err
	}
	defer d.Free(images)
	out = outcome{losses: make([]float64, len(labels)), logits: make([]float32, len(labels)*n.Classes), grads: map[int][]float32{}}
	if err := r.Evaluate(ctx, 0, images, labels, 1, out.losses, out.logits); err != nil {
		return out, err
	}
	err = r.LossGradients(ctx, metric.Loss{}, 0, images, labels, 1, n.AllWeights(), nil, func(w int, g nn.Memory) error {
		if out.grads[w] != nil {
			return fmt.Errorf("gradient of %s handed out twice", n.Weights[w].Name)
		}
		out.grads[w] = make([]float32, r.WeightElements(w))
		return d.Download(out.grads[w], g)
	})
	return out, err
}

// compute is run, of all weights, where nothing is to go wrong.
func compute(tb testing.TB, n *Network, opt RunnerOptions, in []float32, labels []int) outcome {
	tb.Helper()
	out, err := run(context.Background(), n, opt, in, labels)
	if err != nil {
		tb.Fatal(err)
	}
	if len(out.grads) != len(n.Weights) {
		tb.Errorf("%d gradients for %d weights", len(out.grads), len(n.Weights))
	}
	return out
}

// newRunner returns a runner that is closed when the test ends.
func newRunner(tb testing.TB, n *Network, opt RunnerOptions) *Runner {
	r := NewRunner(n, opt)
	tb.Cleanup(r.Close)
	return r
}

// imported is memory with the values where r computes, until the test ends.
func imported(tb testing.TB, r *Runner, values []float32) nn.Memory {
	tb.Helper()
	m, err := r.Device().Import(values)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Device().Free(m) })
	return m
}

// batchOn is the batch of tests that any will do for: a small one on a device,
// because the fake one is slow.
func batchOn(on testdevice.Backend) int {
	if on.OnHost() {
		return 0
	}
	return 3
}

// equal asserts the same bits.
func (a outcome) equal(t *testing.T, b outcome) {
	t.Helper()
	if !slices.Equal(a.losses, b.losses) || !slices.Equal(a.logits, b.logits) {
		t.Error("losses or logits differ")
	}
	for w, g := range a.grads {
		if !slices.Equal(g, b.grads[w]) {
			t.Errorf("gradient of weight %d differs", w)
		}
	}
}

// close asserts agreement of losses and gradients to a relative tolerance; the
// gradient of a key bias is zero but for rounding.
func (a outcome) close(t *testing.T, b outcome, tolerance float64) {
	t.Helper()
	for i, x := range a.losses {
		if math.Abs(x-b.losses[i]) > tolerance*math.Abs(x) {
			t.Errorf("loss %d is %v, and %v", i, x, b.losses[i])
		}
	}
	for w, g := range a.grads {
		var difference, norm float64
		for i, x := range g {
			d := float64(x) - float64(b.grads[w][i])
			difference += d * d
			norm += float64(x) * float64(x)
		}
		if math.Sqrt(difference) > tolerance*math.Sqrt(norm)+2e-6 {
			t.Errorf("gradient of weight %d differs by %g of %g", w, math.Sqrt(difference), math.Sqrt(norm))
		}
	}
}

// TestThreadsAndVariants: the same bits for any number of threads and any
// vector width; the plain kernels agree to rounding.
func TestThreadsAndVariants(t *testing.T) {
	for _, name := range fixtureModels {
		t.Run(name, func(t *testing.T) {
			n := openFixture(t, name, Options{})
			in, labels := randomBatch(n, n.Batch)
			want := compute(t, n, RunnerOptions{Threads: 1}, in, labels)
			for _, threads := range []int{2, 3} {
				want.equal(t, compute(t, n, RunnerOptions{Threads: threads}, in, labels))
			}
			for _, v := range kernel.Variants() {
				got := compute(t, n, RunnerOptions{Threads: 2, Variant: &v}, in, labels)
				if v == kernel.Plain {
					want.close(t, got, 1e-4)
				} else {
					want.equal(t, got)
				}
			}
		})
	}
}

// TestBackwardInPieces: a backward pass cut at every neck gives the same
// gradients as one that is not cut.
func TestBackwardInPieces(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, name := range fixtureModels {
			t.Run(name, func(t *testing.T) {
				n := openFixture(t, name, Options{Batch: batchOn(on)})
				in, labels := randomBatch(n, n.Batch)
				whole := compute(t, n, RunnerOptions{BackwardBytes: 1 << 40, Device: on.Device}, in, labels)
				whole.close(t, compute(t, n, RunnerOptions{BackwardBytes: 1, Device: on.Device}, in, labels), 1e-5)
			})
		}
	})
}

// TestEveryNeck: advancing to any neck and evaluating from there gives the same
// losses as from the image, for a partial batch too.
func TestEveryNeck(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		for _, name := range fixtureModels {
			t.Run(name, func(t *testing.T) {
				n := openFixture(t, name, Options{Batch: batchOn(on)})
				if len(n.Necks) < 6 {
					t.Errorf("only %d necks", len(n.Necks))
				}
				for _, examples := range slices.Compact([]int{n.Batch, max(1, n.Batch-1)}) {
					in, labels := randomBatch(n, examples)
					r := newRunner(t, n, RunnerOptions{Device: on.Device})
					want := make([]float64, examples)
					at := imported(t, r, in)
					if err := r.Evaluate(context.Background(), 0, at, labels, 0.5, want, nil); err != nil {
						t.Fatal(err)
					}
					for k := 1; k < len(n.Necks)-1; k++ {
						next := imported(t, r, make([]float32, examples*r.NeckElements(k)))
						if err := r.Advance(context.Background(), k-1, k, at, next, examples); err != nil {
							t.Fatal(err)
						}
						at = next
						got := make([]float64, examples)
						if err := r.Evaluate(context.Background(), k, at, labels, 0.5, got, nil); err != nil {
							t.Fatal(err)
						}
						if !on.OnHost() { // a sum that one span adds to a product is rounded once more in two
							testdevice.CloseTo(t, "losses from neck "+n.Necks[k].Name, got, want, testdevice.Network)
						} else if !slices.Equal(got, want) {
							t.Fatalf("from neck %d (%s): losses %v, want %v", k, n.Necks[k].Name, got, want)
						}
					}
				}
			})
		}
	})
}

// TestLayersPartitionWeights: at every granularity each weight is in exactly
// one layer, whose neck lies at or below the weight's.
func TestLayersPartitionWeights(t *testing.T) {
	for _, name := range fixtureModels {
		n := openFixture(t, name, Options{})
		for _, g := range Granularities() {
			count, parameters := make([]int, len(n.Weights)), 0
			names := map[string]bool{}
			for i, l := range n.Layers(g) {
				if l.Index != i || names[l.Name] {
					t.Errorf("%s, %s: layer %d is called %s with index %d", name, g, i, l.Name, l.Index)
				}
				names[l.Name] = true
				parameters += l.Parameters
				for _, w := range l.Weights {
					count[w]++
					if l.Neck > n.Weights[w].Neck {
						t.Errorf("%s: layer %s begins above its weight %s", name, l.Name, n.Weights[w].Name)
					}
				}
			}
			if slices.Max(count) != 1 || slices.Min(count) != 1 || parameters != n.Parameters() {
				t.Errorf("%s, %s: weights are in %v layers", name, g, count)
			}
		}
	}
}

// TestLayerNames on the fixture, whose exporter gave names to some weights only.
func TestLayerNames(t *testing.T) {
	n := openFixture(t, "vit-cifar100", Options{})
	blocks := layerNames(n.Layers(ByBlock))
	if want := []string{"embed", "blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "blocks.5", "head"}; !slices.Equal(blocks, want) {
		t.Errorf("blocks %v", blocks)
	}
	modules := layerNames(n.Layers(ByModule))[:8]
	if want := []string{"patch_embed", "tokens", "blocks.0.norm1", "blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.norm2", "blocks.0.mlp.fc1", "blocks.0.mlp.fc2"}; !slices.Equal(modules, want) {
		t.Errorf("modules %v", modules)
	}
	for name, want := range map[string]Granularity{"head": ByBlock, "module:head": ByModule, "norm": ByModule, "head.bias": ByTensor} {
		if g, _, err := n.FindLayer(name); err != nil || g != want {
			t.Errorf("%s is a %s (%v), want a %s", name, g, err, want)
		}
	}
	if _, _, err := n.FindLayer("block:norm"); err == nil {
		t.Error("block:norm was found")
	}
	chosen, err := SelectLayers(n.Layers(ByBlock), []string{"blocks.[23]", "head"})
	if err != nil || fmt.Sprint(layerNames(chosen)) != "[blocks.2 blocks.3 head]" {
		t.Errorf("selected %v, %v", layerNames(chosen), err)
	}
	if _, err := SelectLayers(n.Layers(ByBlock), []string{"blocks.9"}); err == nil {
		t.Error("blocks.9 was selected")
	}
	_, err = SelectLayers(slices.Concat(n.Layers(ByBlock), n.Layers(ByModule)), []string{"blocks.9"})
	if err == nil || strings.Count(err.Error(), ", head,") != 1 {
		t.Errorf("the head, a block and a module, is not named once: %v", err)
	}
}

// TestFindLayerRefusesTwins: a name of two layers resolves to neither. Build
// makes no such network: it puts weights of one name into one layer.
func TestFindLayerRefusesTwins(t *testing.T) {
	n := openFixture(t, "vit-cifar100", Options{})
	layers := map[Granularity][]Layer{}
	for _, g := range Granularities() {
		layers[g] = slices.Clone(n.layers[g])
	}
	layers[ByBlock][3].Name = layers[ByBlock][2].Name
	n.layers = layers
	for _, name := range []string{"blocks.1", "block:blocks.1"} {
		_, _, err := n.FindLayer(name)
		if err == nil {
			t.Fatalf("%s was found", name)
		}
		for _, part := range []string{"2 layers", "the block of tensor:blocks.1.norm1.weight", "the block of tensor:blocks.2.norm1.weight", "and 8 more"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q lacks %q", err, part)
			}
		}
	}
	if _, l, err := n.FindLayer("tensor:blocks.1.norm1.weight"); err != nil || len(l.Weights) != 1 {
		t.Errorf("the tensor is %v (%v)", l, err)
	}
}

// TestFusion: the fixture's exports come down to the same few Ops.
func TestFusion(t *testing.T) {
	for _, file := range []string{"model.onnx", "model-legacy.onnx"} {
		m, err := onnx.Open(filepath.Join("..", "fixtures", "vit-cifar100", file))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		n := buildWhole(t, m, Options{})
		count := map[string]int{}
		for _, s := range n.steps {
			if s.Out.OnDataPath {
				count[s.Op.Name()]++
			}
		}
		want := map[string]int{"PatchEmbedding": 1, "LayerNormalization": 13, "Linear": 25, "PackedAttention": 6, "Gelu": 6, "Add": 13, "Concat": 1}
		for name, k := range want {
			if count[name] != k {
				t.Errorf("%s: %d %s, want %d (%v)", file, count[name], name, k, count)
			}
		}
		for _, name := range []string{"MatMul", "Softmax", "Transpose", "Slice", "Mul"} {
			if count[name] > 0 {
				t.Errorf("%s: %d %s are left (%v)", file, count[name], name, count)
			}
		}
	}
}

// TestArenaIsTheBound: no span takes more memory than the most that is alive
// at one step.
func TestArenaIsTheBound(t *testing.T) {
	n := openFixture(t, "vit-cifar100", Options{})
	for _, k := range []spanKind{{from: 0, to: len(n.Necks) - 1}, {from: 0, to: len(n.Necks) - 1, backward: true, want: n.AllWeights()}} {
		s, err := n.compileSpan(k, host{})
		if err != nil {
			t.Fatal(err)
		}
		if s.plan.ArenaBytes() != s.plan.LiveBytes() {
			t.Errorf("backward %v: the arena has %d bytes, the bound is %d", k.backward, s.plan.ArenaBytes(), s.plan.LiveBytes())
		}
	}
}

// TestCancel: a run ends soon after its context, with the context's error.
func TestCancel(t *testing.T) {
	testdevice.Each(t, func(t *testing.T, on testdevice.Backend) {
		n := openFixture(t, "vit-cifar100", Options{Batch: batchOn(on)})
		values, labels := randomBatch(n, n.Batch)
		r := newRunner(t, n, RunnerOptions{Device: on.Device})
		in, losses := imported(t, r, values), make([]float64, n.Batch)
		ctx, cancel := context.WithCancel(context.Background())
		timer := time.AfterFunc(5*time.Millisecond, cancel)
		defer timer.Stop()
		for {
			if err := r.Evaluate(ctx, 0, in, labels, 1, losses, nil); err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				return
			}
		}
	})
}
