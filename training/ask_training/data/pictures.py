"""Labelled pictures, and their fixed split into fit and validation."""

from dataclasses import dataclass

import torch
from torch import Tensor


class DataError(ValueError):
    """The input data is not what the loader was told to expect."""


@dataclass(frozen=True)
class Pictures:
    pixels: Tensor  # uint8 [N, 3, side, side]
    labels: Tensor  # int64 [N]

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: Tensor) -> "Pictures":
        return Pictures(self.pixels[indices], self.labels[indices])


def split(labels: Tensor, share: float, seed: int, names: list[str] | None = None) -> tuple[Tensor, Tensor]:
    """Sorted indices of fit and validation pictures, fixed by the seed. Validation holds ``share`` of each class, at
    least one picture. Raises DataError if a class has too few pictures for both."""
    generator = torch.Generator().manual_seed(seed)
    held = []
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        count = max(1, round(share * len(members)))
        if len(members) <= count:
            name = names[label] if names else int(label)
            raise DataError(f"class {name} has {len(members)} pictures, {count} of them wanted for validation")
        held.append(members[torch.randperm(len(members), generator=generator)[:count]])
    chosen = torch.cat(held).sort().values
    mask = torch.ones(len(labels), dtype=torch.bool)
    mask[chosen] = False
    return mask.nonzero()[:, 0], chosen


def held_back(count: int) -> Tensor:
    """Bool [count]: every other validation picture. Nothing is fitted on them: measures and certificates on them are
    unbiased."""
    return torch.arange(count) % 2 == 1
