"""Training views: crop, zoom, mirror, blur, sharpen and colour, in one batched pass on whatever device holds the batch.

Served photos are sharper than CIFAR's 32 px pictures and framed more loosely, hence the sharpened and zoomed views.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .resample import resample, resize_matrices


@dataclass(frozen=True)
class Augment:
    zoom: tuple[float, float] = (0.7, 1.1)  # side of the crop over the side of the picture
    aspect: float = 0.12  # crops are up to this much wider or taller
    margin: float = 0.125  # crops may reach this far outside (edge repeated)
    blur: float = 0.2  # share of blurred views
    sharpen: float = 0.3  # share of sharpened views
    colour: float = 0.25  # strength of brightness, contrast and saturation changes


def augment(x: Tensor, size: int, options: Augment, generator: torch.Generator) -> Tensor:
    """x [B, 3, S, S] in 0..1 -> [B, 3, size, size]; every draw comes from ``generator`` (on x's device)."""
    count, src = x.shape[0], x.shape[-1]

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, device=x.device, generator=generator)

    zoom = uniform(*options.zoom) * src
    stretch = uniform(-options.aspect, options.aspect).exp()
    mirror = uniform(0, 1) < 0.5
    blur = torch.where(uniform(0, 1) < options.blur, uniform(1.0, 1.7), torch.ones_like(zoom))
    sharpen = torch.where(uniform(0, 1) < options.sharpen, uniform(0.0, 0.8), torch.zeros_like(zoom))
    matrices = []
    for axis, extent in enumerate((zoom * stretch, zoom / stretch)):
        slack = options.margin * src
        start = -slack + uniform(0, 1) * (src + 2 * slack - extent).clamp(min=0)
        if axis == 1:
            start = torch.where(mirror, start + extent, start)
            extent = torch.where(mirror, -extent, extent)
        plain = resize_matrices(start, extent, src, size, blur)
        soft = resize_matrices(start, extent, src, size, torch.full_like(blur, 2.0))
        matrices.append(plain + sharpen[:, None, None] * (plain - soft))
    x = resample(x, *matrices)

    strength = options.colour
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (1 + uniform(-strength, strength))[:, None, None, None]
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * (1 + uniform(-strength, strength))[:, None, None, None]
    x = x + uniform(-strength / 2, strength / 2)[:, None, None, None]
    return x.clamp(0, 1)


def mix(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Mixes each view with another of the batch: half of the time it pastes a box (CutMix, arXiv:1905.04899), else it
    blends (mixup, arXiv:1710.09412). x [B, 3, S, S] -> mixed views, the index [B] of each one's other, and the share
    of the views themselves."""
    order = torch.randperm(len(x), device=x.device, generator=generator)
    paste, share, across, down = torch.rand(4, device=x.device, generator=generator).tolist()
    if paste >= 0.5:
        return share * x + (1 - share) * x[order], order, share
    size = x.shape[-1]
    side = round(size * (1 - share) ** 0.5)
    top, left = round(down * (size - side)), round(across * (size - side))
    x = x.clone()
    x[:, :, top : top + side, left : left + side] = x[order, :, top : top + side, left : left + side]
    return x, order, 1 - side * side / (size * size)
