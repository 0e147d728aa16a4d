"""Separable image resampling as matrices, so that training, export and augmentation share one definition.

Resizing a picture ``x`` [C, H, W] is ``rows @ x @ cols.T`` with one matrix per axis. At export the two matrices become
constants of the ONNX graph: a runtime cannot resize differently from training.
"""

import torch
from torch import Tensor

KEYS_CUBIC = -0.5  # Keys (1981), as in Pillow's BICUBIC


def _cubic(x: Tensor, a: float) -> Tensor:
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def resize_matrices(start: Tensor, extent: Tensor, src: int, dst: int, blur: Tensor | None = None) -> Tensor:
    """Matrices [B, dst, src] that cut ``[start, start + extent)`` (source pixels, [B]) and scale it to ``dst`` pixels.

    A negative extent mirrors. Positions outside the source repeat its edge. ``blur`` >= 1 ([B]) widens the kernel.
    Without blur and with the whole source as the box this is Pillow's BICUBIC, antialiased when shrinking.
    """
    scale = extent / dst
    centre = start[:, None] + (torch.arange(dst, device=start.device) + 0.5) * scale[:, None]
    centre = centre.clamp(0.0, float(src))
    width = scale.abs().clamp(min=1.0)
    if blur is not None:
        width = width * blur
    pixel = torch.arange(src, device=start.device) + 0.5
    weights = _cubic((pixel[None, None] - centre[:, :, None]) / width[:, None, None], KEYS_CUBIC)
    return weights / weights.sum(-1, keepdim=True)


def resize_matrix(src: int, dst: int) -> Tensor:
    """The plain resize [dst, src] used in evaluation and in the exported graph."""
    return resize_matrices(torch.zeros(1), torch.full((1,), float(src)), src, dst)[0]


def resample(x: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    """x [B, C, H, W] with rows [B or 1, H', H] and cols [B or 1, W', W] -> [B, C, H', W']."""
    return rows[:, None] @ x @ cols[:, None].transpose(-1, -2)
