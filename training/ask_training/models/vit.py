"""A Vision Transformer whose parameter names follow timm, so that timm and DeiT checkpoints load as they are."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..experiment.config import PATCH


class PatchEmbed(nn.Module):
    def __init__(self, patch: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, queries: int, with_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Attention of the first ``queries`` tokens to all of x [B, tokens, width], and their weights if asked for."""
        parts = self._project(x, queries)
        if torch.onnx.is_in_onnx_export() and not with_weights:  # one node instead of seven, a tenth less time
            mixed = torch.onnx.ops.attention(*parts, q_num_heads=self.heads, kv_num_heads=self.heads)[0]
            return self.proj(mixed), None
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        weights = None
        if with_weights or (self.training and x.device.type == "cpu"):  # fused, it trains at two thirds of the speed there
            weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).flatten(2)), weights

    def _project(self, x: Tensor, queries: int) -> tuple[Tensor, Tensor, Tensor]:
        """q [B, queries, width], k and v [B, tokens, width]."""
        width = x.shape[-1]
        if queries == x.shape[1]:
            q, k, v = self.qkv(x).split(width, -1)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(x[:, :queries], weight[:width], bias[:width])
            k, v = F.linear(x, weight[width:], bias[width:]).split(width, -1)
        return q, k, v


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, 4 * width)
        self.drop_path = drop_path

    def _residual(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return x
        kept = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.drop_path
        return x * kept / (1 - self.drop_path)

    def forward(self, x: Tensor, queries: int, with_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """x [B, tokens, width] -> the first ``queries`` tokens after the block."""
        mixed, weights = self.attn(self.norm1(x), queries, with_weights)
        x = x[:, :queries] + self._residual(mixed)
        return x + self._residual(self.mlp(self.norm2(x))), weights


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. (arXiv:2010.11929) with DeiT's sizes (arXiv:2012.12877); a CLS token, no distillation token."""

    def __init__(
        self, size: int, classes: int, patch: int = PATCH, width: int = 192, depth: int = 12, heads: int = 3,
        drop_path: float = 0.0,
    ):
        super().__init__()
        if size % patch:
            raise ValueError(f"size {size} is not a multiple of the patch size {patch}")
        self.size, self.patch = size, patch
        self.patch_embed = PatchEmbed(patch, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + 1, width))
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(width, heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, keep: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """x [B, 3, size, size], normalised -> logits [B, classes].

        ``keep`` < 1 drops that share's complement of the patches at random (PatchDropout, arXiv:2208.07220).
        """
        return self.head(self.norm(self._encode(x, keep, generator)[0])[:, 0])

    def forward_with_attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, classes] and the last block's CLS-to-patch attention [B, patches], mean over heads."""
        x, weights = self._encode(x, 1.0, None, with_weights=True)
        assert weights is not None
        return self.head(self.norm(x)[:, 0]), weights[:, :, 0, 1:].mean(1)

    def _encode(self, x: Tensor, keep: float, generator: torch.Generator | None, with_weights: bool = False):
        x = self.patch_embed(x) + self.pos_embed[:, 1:]
        if keep < 1:
            order = torch.rand(x.shape[:2], device=x.device, generator=generator).argsort(1)
            kept = order[:, : max(1, round(keep * x.shape[1]))]
            x = x.gather(1, kept[:, :, None].expand(-1, -1, x.shape[2]))
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1), x], 1)
        weights = None
        for i, block in enumerate(self.blocks):
            last = i == len(self.blocks) - 1  # of its output only the CLS token is read
            x, weights = block(x, 1 if last else x.shape[1], with_weights and last)
        return x, weights


def at_size(model: VisionTransformer, size: int) -> VisionTransformer:
    """The same network for pictures of another size: all weights shared, but for the position embedding, resized."""
    block = model.blocks[0]
    other = VisionTransformer(
        size, model.head.out_features, model.patch, model.norm.weight.shape[0], len(model.blocks), block.attn.heads, block.drop_path
    )
    other.patch_embed, other.cls_token, other.blocks = model.patch_embed, model.cls_token, model.blocks
    other.norm, other.head = model.norm, model.head
    other.pos_embed = nn.Parameter(_resize_positions(model.pos_embed.detach(), (size // model.patch) ** 2 + 1))
    return other.train(model.training)


def load_weights(model: VisionTransformer, source: Path | dict[str, Tensor]) -> None:
    """Loads a timm, DeiT or own checkpoint; the position embedding is resized, a head of other classes left out.

    Raises ValueError naming the file and the first tensor that is missing, unknown or of another shape.
    """
    weights = dict(source) if isinstance(source, dict) else _read(source)
    of = "the checkpoint" if isinstance(source, dict) else source
    own = model.state_dict()
    if "pos_embed" in weights:
        weights["pos_embed"] = _resize_positions(weights["pos_embed"], own["pos_embed"].shape[1])
    fresh_head = weights.get("head.weight", torch.empty(0)).shape != own["head.weight"].shape
    if fresh_head:
        weights["head.weight"], weights["head.bias"] = own["head.weight"], own["head.bias"]
    for name in sorted(own.keys() | weights.keys()):
        if name not in weights or name not in own:
            raise ValueError(f"tensor {name} is {'missing from' if name in own else 'not expected in'} {of}")
        if weights[name].shape != own[name].shape:
            raise ValueError(f"tensor {name} has shape {list(weights[name].shape)}, expected {list(own[name].shape)} ({of})")
    model.load_state_dict(weights)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        hint = "safetensors.torch.save_file(torch.load(FILE)['model'], TO) makes one of DeiT's .pth"
        raise ValueError(f"{path}: not a safetensors file ({hint}): {error}") from error


def _resize_positions(positions: Tensor, tokens: int) -> Tensor:
    if positions.ndim != 3 or positions.shape[1] in (0, 1, tokens):
        return positions
    cls, grid = positions[:, :1], positions[:, 1:]
    old, new = math.isqrt(grid.shape[1]), math.isqrt(tokens - 1)
    if old * old != grid.shape[1]:
        shape = list(positions.shape)
        raise ValueError(f"tensor pos_embed has shape {shape}: not one CLS token and a square of patches")
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2).float()
    grid = F.interpolate(grid, (new, new), mode="bicubic", antialias=True)
    return torch.cat([cls, grid.flatten(2).transpose(1, 2)], 1)
