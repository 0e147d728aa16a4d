"""Loading a checkpoint of timm's names into a network of any resolution and classes."""

import copy
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .shape import HINT, check_supported
from .vit import VisionTransformer


def at_size(model: VisionTransformer, size: int) -> VisionTransformer:
    """The same network for pictures of another size. It shares all weights but the position embedding, which is
    resized."""
    other = copy.copy(model)
    other._parameters = dict(model._parameters)
    other.size = size
    other.pos_embed = nn.Parameter(_resize_positions(model.pos_embed.detach(), other))
    return other


def load_weights(model: VisionTransformer, source: Path | dict[str, Tensor]) -> None:
    """Loads a timm, DeiT or own checkpoint. The position embedding is resized; a head of other classes is left out.

    Raises ValueError naming the file and the first tensor that is missing, unknown or of another shape.
    """
    weights = dict(source) if isinstance(source, dict) else _read(source)
    of = "the checkpoint" if isinstance(source, dict) else source
    own = model.state_dict()
    check_supported(weights, str(of))
    if "pos_embed" in weights:
        weights["pos_embed"] = _resize_positions(weights["pos_embed"], model)
    fresh_head = weights.get("head.weight", torch.empty(0)).shape != own["head.weight"].shape
    if fresh_head:
        weights["head.weight"], weights["head.bias"] = own["head.weight"], own["head.bias"]
    for name in sorted(own.keys() | weights.keys()):
        if name not in weights or name not in own:
            raise ValueError(f"tensor {name} is {'missing from' if name in own else 'not expected in'} {of}")
        if weights[name].shape != own[name].shape:
            found, expected = list(weights[name].shape), list(own[name].shape)
            raise ValueError(f"tensor {name} has shape {found}, expected {expected} ({of})")
    model.load_state_dict(weights)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({HINT}): {error}") from error


def _resize_positions(positions: Tensor, model: VisionTransformer) -> Tensor:
    """As many positions as the network has, resampled in the plane. The class token's own stays."""
    tokens = model.patches + model.form.class_position
    owned = int(model.form.class_position)
    if positions.ndim != 3 or positions.shape[1] in (0, owned, tokens):
        return positions
    before, grid = positions[:, :owned], positions[:, owned:]
    old, new = math.isqrt(grid.shape[1]), math.isqrt(model.patches)
    if old * old != grid.shape[1]:
        shape, what = list(positions.shape), "one CLS token and a square" if owned else "a square"
        raise ValueError(f"tensor pos_embed has shape {shape}: not {what} of patches")
    grid = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2).float()
    grid = F.interpolate(grid, (new, new), mode="bicubic", antialias=True)
    return torch.cat([before, grid.flatten(2).transpose(1, 2)], 1)
