"""What is done without this program: ONNX Runtime, and scripts of PyTorch's own modules.

internal/performance compares the program with them. `run` prepares one piece of work, prints
its versions as JSON, and then does the work once for each line that it reads, and prints the
seconds, so that two programs can take turns:

    python peers.py run onnxruntime --onnx vit.onnx --batch 8 --threads 2
    python peers.py run forward   --sizes 224,16,768,12,12,3072 --batch 8 --threads 2
    python peers.py run gradients --sizes …      all weights
    python peers.py run last      --sizes …      the last block's, from what it reads, kept

`check` prints the time of a diagnosis (docs/method.md), as a script does it:

    python peers.py check --mode naive --sizes 32,8,96,6,4,384 --layers blocks.0,head --images 1000

--mode naive runs the whole network for every point of a line search; good keeps what the
layer reads, and runs the rest. Weights and images are random: they do not change the time.
"""
import argparse
import json
import sys
import time


def sizes(text):
    names = "image", "patch", "width", "depth", "heads", "hidden"
    return dict(zip(names, map(int, text.split(",")), strict=True))


def onnxruntime_forward(args):
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    images = numpy.random.default_rng(0).standard_normal((args.batch, *image.shape[1:]), dtype=numpy.float32)
    return {"ONNX Runtime": onnxruntime.__version__}, lambda: session.run(None, {image.name: images})


def torch_step(args):
    import torch
    from torch.nn import functional
    from torchvit import ViT

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = ViT(**args.sizes).eval()
    size = args.sizes["image"]
    images, labels = torch.randn(args.batch, 3, size, size), torch.zeros(args.batch, dtype=torch.long)
    stages = list(model.stages().values())

    def run(x, stages):
        for f, _ in stages:
            x = f(x)
        return x

    def step(x, stages):
        model.zero_grad(set_to_none=True)
        functional.cross_entropy(run(x, stages), labels).backward()

    def forward():
        with torch.no_grad():
            run(images, stages)

    work = {"forward": forward, "gradients": lambda: step(images, stages)}
    if args.work == "last":
        with torch.no_grad():
            kept = run(images, stages[:-2])
        model.requires_grad_(False)
        for p in stages[-2][1]:
            p.requires_grad_(True)
        work["last"] = lambda: step(kept, stages[-2:])
    return {"PyTorch": torch.__version__.split("+")[0]}, work[args.work]


def serve(args):
    versions, work = (onnxruntime_forward if args.work == "onnxruntime" else torch_step)(args)
    work()
    print(json.dumps(versions), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        work()
        print(time.perf_counter() - start, flush=True)


POINTS = 8  # that a line search tries


def check(args):
    import torch
    from torch.nn import functional
    from torchvit import ViT

    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model, size, n = ViT(**args.sizes).eval(), args.sizes["image"], args.images
    images, labels = torch.randn(n, 3, size, size), torch.arange(n) % model.head.out_features
    stages = model.stages()
    half = torch.arange(n) < n // 2
    start = time.perf_counter()

    def batches(x, labels):
        return zip(x.split(args.batch), labels.split(args.batch), strict=True)

    def run(x, names):
        for name in names:
            x = stages[name][0](x)
        return x

    @torch.no_grad()
    def loss(x, labels, names):
        return sum(functional.cross_entropy(run(x, names), y, reduction="sum").item() for x, y in batches(x, labels)) / len(x)

    def gradients(x, labels):
        model.zero_grad(set_to_none=True)
        for x, y in batches(x, labels):
            (functional.cross_entropy(run(x, stages), y, reduction="sum")).backward()
        return {name: [p.grad.clone() for p in weights] for name, (_, weights) in stages.items()}

    of = {part: gradients(images[rows], labels[rows]) for part, rows in (("A", half), ("B", ~half))}
    of["V"] = {name: [a + b for a, b in zip(of["A"][name], of["B"][name])] for name in stages}
    everything = torch.ones(n, dtype=torch.bool)
    chain, reached, kept = list(stages), 0, images
    for name in args.layers.split(","):
        at, weights = chain.index(name), stages[name][1]
        names, read = chain, images
        if args.mode == "good":
            with torch.no_grad():
                kept = torch.cat([run(x, chain[reached:at]) for x in kept.split(args.batch)])
            names, read, reached = chain[at:], kept, at
        before = [w.detach().clone() for w in weights]

        def moved(t, direction, rows):
            with torch.no_grad():
                for w, b, d in zip(weights, before, direction):
                    w.copy_(b - t * d)
            return loss(read[rows], labels[rows], names)

        # The direction is chosen on all images and tried there; on either half and tried on the other.
        for chosen, rows, tried in ("V", everything, None), ("A", half, ~half), ("B", ~half, half):
            norm = sum(float((g.double() ** 2).sum()) for g in of[chosen][name]) ** 0.5
            direction = [g / norm for g in of[chosen][name]]
            lowest, best, t = moved(0, direction, rows), 0.0, 1e-2
            for _ in range(POINTS):
                found = moved(t, direction, rows)
                if found < lowest:
                    lowest, best, t = found, t, 2 * t
                else:
                    t = (best + t) / 2
            if tried is not None:
                moved(0, direction, tried), moved(best, direction, tried)
        with torch.no_grad():
            for w, b in zip(weights, before):
                w.copy_(b)
    print(json.dumps({"seconds": time.perf_counter() - start, "PyTorch": torch.__version__.split("+")[0]}))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
commands = parser.add_subparsers(required=True)
for name, do in ("run", serve), ("check", check):
    command = commands.add_parser(name)
    command.set_defaults(do=do)
    command.add_argument("--sizes", type=sizes, help="of a ViT: image, patch, width, depth, heads, hidden")
    command.add_argument("--batch", type=int, default=8)
    command.add_argument("--threads", type=int, default=2)
    if name == "run":
        command.add_argument("work", choices=["onnxruntime", "forward", "gradients", "last"])
        command.add_argument("--onnx")
    else:
        command.add_argument("--mode", choices=["naive", "good"], required=True)
        command.add_argument("--layers", required=True)
        command.add_argument("--images", type=int, required=True)
arguments = parser.parse_args()
arguments.do(arguments)
