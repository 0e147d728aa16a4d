"""Fixed made-up pictures, none of any data set."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .sources import fit_square


def golden_pixels(side: int = 32, count: int = 8) -> Tensor:
    """Fixed made-up pictures uint8 [count, 3, side, side]: smooth colour fields with noise, none of any data set."""
    rng = np.random.default_rng(20130)
    y, x = np.mgrid[0:side, 0:side] / side
    waves = [
        [np.sin(2 * np.pi * (rng.uniform(0, 3) * x + rng.uniform(0, 3) * y + rng.uniform())) for _ in range(3)]
        for _ in range(count)
    ]
    pictures = 128 + 90 * np.array(waves) + rng.normal(0, 12, (count, 3, side, side))
    return torch.from_numpy(pictures.clip(0, 255).astype(np.uint8))


def golden_photo(side: int) -> tuple[np.ndarray, np.ndarray]:
    """A made-up picture [90, 140, 3] with edges and noise, and what the manifest's input rule makes of it."""
    rng = np.random.default_rng(20131)
    y, x = np.mgrid[0:90, 0:140]
    field = np.stack([128 + 100 * np.sin(x / 9 + y / 17), 255.0 * ((x // 20 + y // 15) % 2), 1.8 * x], -1)
    photo = (field + rng.normal(0, 10, field.shape)).clip(0, 255).astype(np.uint8)
    return photo, fit_square(Image.fromarray(photo), side)
