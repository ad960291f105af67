"""Times a ViT-B/16 of PyTorch's own modules on a GPU, for scripts/oncard: images
a second forward and with the gradients of all layers, in batches of 128."""
import time

import torch
from torch.nn import functional
from torchvit import ViT

BATCH = 128


def images_per_second(run, least=1.0):
    run()
    torch.cuda.synchronize()
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < least:
        run()
        torch.cuda.synchronize()
        n += 1
    return n * BATCH / (time.perf_counter() - start)


if not torch.cuda.is_available():
    raise SystemExit("PyTorch finds no GPU")
torch.manual_seed(0)
model = ViT().cuda().eval()
images = torch.randn(BATCH, 3, 224, 224, device="cuda")
labels = torch.zeros(BATCH, dtype=torch.long, device="cuda")
for precision in "fp32", "tf32", "bf16":
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32

    def loss():
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
            return functional.cross_entropy(model(images), labels)

    def forward():
        with torch.no_grad():
            loss()

    def step():
        model.zero_grad(set_to_none=True)
        loss().backward()

    for name, run in ("forward", forward), ("step", step):
        print(f"FIGURE PyTorch/{precision}/{name} {images_per_second(run):.1f} images/s", flush=True)
    print(f"FIGURE PyTorch/{precision}/memory {torch.cuda.max_memory_allocated() >> 20} MiB", flush=True)
    torch.cuda.reset_peak_memory_stats()
