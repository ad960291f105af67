"""Times a ViT-B/16 of PyTorch's own modules on a GPU, for scripts/oncard: images
a second forward and with the gradients of all layers, in batches of 128."""
import time

import torch
from torch import nn
from torch.nn import functional

BATCH, IMAGE, PATCH, WIDTH, DEPTH, HEADS, HIDDEN, CLASSES = 128, 224, 16, 768, 12, 12, 3072, 100


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x):
        n, tokens, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, WIDTH))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.position = nn.Parameter(torch.zeros(1, (IMAGE // PATCH) ** 2 + 1, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(DEPTH)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


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
images = torch.randn(BATCH, 3, IMAGE, IMAGE, device="cuda")
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
