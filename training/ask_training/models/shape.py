"""What a Vision Transformer looks like, as far as the names and shapes of its tensors tell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..experiment.config import PATCH

HEAD_WIDTH = 64  # of nearly every timm and DeiT network; no tensor tells it
HINT = "safetensors.torch.save_file(torch.load(FILE)['model'], TO) makes one of DeiT's .pth"
UNSUPPORTED = {
    "norm_pre.": "a norm before the first block",
    "dist_token": "a distillation token",
    "head_dist.": "a distillation head",
    "attn_pool.": "attention pooling",
}


@dataclass(frozen=True)
class Form:
    """What differs between Vision Transformers beside their sizes. The defaults are DeiT's."""

    hidden: int = 0  # width inside an MLP; 0 for four times the network's
    class_token: bool = True
    class_position: bool = True  # the class token has a position of its own
    registers: int = 0  # tokens between the class token and the patches (arXiv:2309.16588)
    mean: bool = False  # the head reads the mean of the patches, not the class token
    fc_norm: bool = False  # the norm comes after that mean, not before
    layer_scale: bool = False  # a factor per channel on each branch (arXiv:2103.17239)
    qkv_bias: bool = True


DEIT = Form()


@dataclass(frozen=True)
class Shape:
    """Sizes and form of a network whose tensors these are."""

    width: int
    depth: int
    patch: int = PATCH
    form: Form = DEIT

    def peculiar(self) -> dict[str, Any]:
        """What differs from DeiT, beside width and depth."""
        found = {} if self.patch == PATCH else {"patch": self.patch}
        return found | {
            item.name: value for item in fields(Form) if (value := getattr(self.form, item.name)) != item.default
        }


def read_shape(path: Path) -> Shape:
    """Raises ValueError naming the file and the first tensor that does not fit."""
    try:
        with safe_open(path, "pt") as file:
            sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({HINT}): {error}") from error
    return shape_of(sizes, str(path))


def shape_of(sizes: Mapping[str, Sequence[int]], of: str) -> Shape:
    """The shape of a timm checkpoint with these tensors. Raises ValueError naming the first that does not fit."""
    check_supported(sizes, of)
    embedding = _sizes(sizes, "patch_embed.proj.weight", 4, of)
    width, _, patch, across = embedding
    if patch != across:
        raise ValueError(f"tensor patch_embed.proj.weight has shape {list(embedding)}: patches must be squares ({of})")
    blocks = {int(name.split(".")[1]) for name in sizes if name.startswith("blocks.")}
    hidden = _sizes(sizes, "blocks.0.mlp.fc1.weight", 2, of)[0]
    class_token, fc_norm = "cls_token" in sizes, "fc_norm.weight" in sizes
    registers = _sizes(sizes, "reg_token", 3, of)[1] if "reg_token" in sizes else 0
    positions = _sizes(sizes, "pos_embed", 3, of)[1]
    form = Form(
        hidden=0 if hidden == 4 * width else hidden,
        class_token=class_token,
        class_position=class_token and (math.isqrt(positions) ** 2 != positions or positions == 1),
        registers=registers,
        mean=fc_norm or not class_token,
        fc_norm=fc_norm,
        layer_scale="blocks.0.ls1.gamma" in sizes,
        qkv_bias="blocks.0.attn.qkv.bias" in sizes or "blocks.0.attn.qkv.weight" not in sizes,
    )
    return Shape(width, max(blocks) + 1, patch, form)


def check_supported(names: Mapping[str, Any], of: str) -> None:
    for name in sorted(names):
        for beginning, what in UNSUPPORTED.items():
            if name.startswith(beginning):
                raise ValueError(f"tensor {name} is not expected in {of}: {what} is not supported")


def _sizes(sizes: Mapping[str, Sequence[int]], name: str, dimensions: int, of: str) -> Sequence[int]:
    if name not in sizes:
        raise ValueError(f"tensor {name} is missing from {of}")
    if len(sizes[name]) != dimensions:
        raise ValueError(f"tensor {name} has shape {list(sizes[name])}, expected {dimensions} dimensions ({of})")
    return sizes[name]


def head_count(width: int, heads: int | None) -> int:
    """Heads as configured, or of the usual width where the configuration leaves them out."""
    if heads is not None:
        return heads
    if width % HEAD_WIDTH:
        raise ValueError(f"heads must be configured: the width {width} is not a multiple of {HEAD_WIDTH}")
    return width // HEAD_WIDTH
