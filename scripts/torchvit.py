"""A vision transformer of PyTorch's own modules, with random weights, for what compares
this program with PyTorch: vit_torch.py and peers.py."""
import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """ViT-B/16 at 224×224, unless the sizes say otherwise."""

    def __init__(self, image=224, patch=16, width=768, depth=12, heads=12, hidden=3072, classes=100):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (image // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads, hidden) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def embed(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position

    def classify(self, x):
        return self.head(self.norm(x)[:, 0])

    def forward(self, x):
        return self.classify(self.blocks(self.embed(x)))

    def stages(self):
        """The layers from the bottom up: what each computes, and its weights."""
        stages = {"embed": (self.embed, [*self.patches.parameters(), self.token, self.position])}
        for i, block in enumerate(self.blocks):
            stages[f"blocks.{i}"] = block, list(block.parameters())
        stages["head"] = self.classify, [*self.norm.parameters(), *self.head.parameters()]
        return stages
