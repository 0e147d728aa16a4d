"""A Vision Transformer with timm's parameter names: timm and DeiT checkpoints load as they are."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..experiment.config import PATCH
from .shape import DEIT, Form


class PatchEmbed(nn.Module):
    def __init__(self, patch: int, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, queries: int, with_weights: bool) -> tuple[Tensor, Tensor | None]:
        """Attention of the first ``queries`` tokens to all of x [B, tokens, width], and their weights if asked for."""
        parts = self._project(x, queries)
        if torch.onnx.is_in_onnx_export() and not with_weights:  # one node instead of seven, a tenth less time
            mixed = torch.onnx.ops.attention(*parts, q_num_heads=self.heads, kv_num_heads=self.heads)[0]
            return self.proj(mixed), None
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        weights = None
        if with_weights or (self.training and x.device.type == "cpu"):  # fused, CPUs train at two thirds of the speed
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
            q = F.linear(x[:, :queries], weight[:width], None if bias is None else bias[:width])
            k, v = F.linear(x, weight[width:], None if bias is None else bias[width:]).split(width, -1)
        return q, k, v


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class LayerScale(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, width: int, heads: int, drop_path: float, form: Form = DEIT):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads, form.qkv_bias)
        self.ls1 = LayerScale(width) if form.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, form.hidden or 4 * width)
        self.ls2 = LayerScale(width) if form.layer_scale else nn.Identity()
        self.drop_path = drop_path

    def _residual(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return x
        kept = torch.rand(x.shape[0], 1, 1, device=x.device) >= self.drop_path
        return x * kept / (1 - self.drop_path)

    def forward(self, x: Tensor, queries: int, with_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        """x [B, tokens, width] -> the first ``queries`` tokens after the block."""
        mixed, weights = self.attn(self.norm1(x), queries, with_weights)
        x = x[:, :queries] + self._residual(self.ls1(mixed))
        return x + self._residual(self.ls2(self.mlp(self.norm2(x)))), weights


class VisionTransformer(nn.Module):
    """Dosovitskiy et al. (arXiv:2010.11929) with DeiT's sizes (arXiv:2012.12877), or another form. Its tokens are the
    class token, the registers and the patches."""

    def __init__(
        self, size: int, classes: int, patch: int = PATCH, width: int = 192, depth: int = 12, heads: int = 3,
        drop_path: float = 0.0, form: Form = DEIT,
    ):
        super().__init__()
        if size % patch:
            raise ValueError(f"size {size} is not a multiple of the patch size {patch}")
        self.size, self.patch, self.form = size, patch, form
        self.patch_embed = PatchEmbed(patch, width)
        if form.class_token:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if form.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, form.registers, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.patches + form.class_position, width))
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(width, heads, rate, form) for rate in rates)
        self.norm = nn.Identity() if form.fc_norm else nn.LayerNorm(width, eps=1e-6)
        self.fc_norm = nn.LayerNorm(width, eps=1e-6) if form.fc_norm else nn.Identity()
        self.head = nn.Linear(width, classes)
        self._draw_weights()

    def _draw_weights(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if self.form.class_token:
            nn.init.trunc_normal_(self.cls_token, std=0.02)
        if self.form.registers:
            nn.init.trunc_normal_(self.reg_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def patches(self) -> int:
        """Patches of a picture."""
        return (self.size // self.patch) ** 2

    @property
    def prefix(self) -> int:
        """Tokens before the patches."""
        return self.form.class_token + self.form.registers

    @property
    def width(self) -> int:
        return self.patch_embed.proj.out_channels

    def forward(self, x: Tensor, keep: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """x [B, 3, size, size], normalised -> logits [B, classes].

        ``keep`` < 1 drops that share's complement of the patches at random (PatchDropout, arXiv:2208.07220).
        """
        kept = self._draw_patches(x, keep, generator) if keep < 1 else None
        return self.classify(self.run_blocks(self.embed(x, kept)))

    def forward_with_attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, classes] and the last block's CLS-to-patch attention [B, patches], mean over heads."""
        if not self.form.class_token:
            raise ValueError("attention is the class token's, this network has none")
        last = len(self.blocks) - 1
        x = self.run_blocks(self.embed(x), stop=last)
        x, weights = self.blocks[last](x, self._read_tokens(x), with_weights=True)
        return self.classify(x), weights[:, :, 0, self.prefix :].mean(1)

    def _draw_patches(self, x: Tensor, keep: float, generator: torch.Generator | None) -> Tensor:
        order = torch.rand((x.shape[0], self.patches), device=x.device, generator=generator).argsort(1)
        return order[:, : max(1, round(keep * self.patches))]

    def embed(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """x [B, 3, size, size], normalised -> tokens [B, prefix + patches, width]. With ``kept`` [B, K], the places of
        patches in the grid, row by row, the others are left out: [B, prefix + K, width]."""
        owned = int(self.form.class_position)
        x = self.patch_embed(x) + self.pos_embed[:, owned:]
        if kept is not None:
            x = x.gather(1, kept[:, :, None].expand(-1, -1, x.shape[2]))
        before = []
        if self.form.class_token:
            before.append(self.cls_token + self.pos_embed[:, :1] if owned else self.cls_token)
        if self.form.registers:
            before.append(self.reg_token)
        return torch.cat([*(token.expand(x.shape[0], -1, -1) for token in before), x], 1)

    def run_blocks(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Tokens [B, T, width] before block ``start`` -> tokens before block ``stop``. The last block gives only the
        class token where the head reads no other."""
        for i in range(len(self.blocks))[start:stop]:
            x, _ = self.blocks[i](x, self._read_tokens(x) if i == len(self.blocks) - 1 else x.shape[1])
        return x

    def _read_tokens(self, x: Tensor) -> int:
        """How many of the last block's tokens the head reads."""
        return x.shape[1] if self.form.mean else 1

    def classify(self, x: Tensor) -> Tensor:
        """Tokens [B, T, width] after the last block -> logits [B, classes]."""
        x = self.norm(x)
        return self.head(self.fc_norm(x[:, self.prefix :].mean(1)) if self.form.mean else x[:, 0])
