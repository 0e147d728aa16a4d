"""CIFAR-100 binary records, and the fixed cut of the training set into fit and validation."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SIDE = 32
RECORD_BYTES = 2 + 3 * SIDE * SIDE  # coarse label, fine label, then R, G and B planes


class DataError(ValueError):
    """The input data is not what the loader was told to expect."""


@dataclass(frozen=True)
class Pictures:
    pixels: Tensor  # uint8 [N, 3, 32, 32]
    labels: Tensor  # int64 [N], the fine labels
    digest: str  # sha256 of the file

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: Tensor) -> "Pictures":
        return Pictures(self.pixels[indices], self.labels[indices], self.digest)


def read_records(path: Path, classes: int = 100) -> Pictures:
    """Reads a CIFAR-100 binary file. Raises DataError if it is empty, cut short or holds an impossible label."""
    raw = path.read_bytes()
    if not raw or len(raw) % RECORD_BYTES:
        raise DataError(f"{path}: {len(raw)} bytes is not a whole number of {RECORD_BYTES}-byte records")
    records = np.frombuffer(raw, np.uint8).reshape(-1, RECORD_BYTES)
    worst = int(records[:, 1].max())
    if worst >= classes:
        raise DataError(f"{path}: record {int(records[:, 1].argmax())} has label {worst}, only {classes} classes")
    pixels = torch.from_numpy(records[:, 2:].reshape(-1, 3, SIDE, SIDE).copy())
    labels = torch.from_numpy(records[:, 1].astype(np.int64))
    return Pictures(pixels, labels, hashlib.sha256(raw).hexdigest())


def read_names(path: Path) -> list[str]:
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if len(set(names)) != len(names):
        raise DataError(f"{path}: a label name occurs twice")
    return names


def split(labels: Tensor, validation: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of fit and validation pictures; validation holds the same number of each class. Sorted, fixed by seed."""
    classes = labels.unique()
    share, rest = divmod(validation, len(classes))
    if rest:
        raise DataError(f"a validation split of {validation} is not a multiple of {len(classes)} classes")
    generator = torch.Generator().manual_seed(seed)
    held = []
    for label in classes:
        members = (labels == label).nonzero()[:, 0]
        if len(members) <= share:
            raise DataError(f"class {int(label)} has {len(members)} pictures, {share} of them wanted for validation")
        held.append(members[torch.randperm(len(members), generator=generator)[:share]])
    chosen = torch.cat(held).sort().values
    mask = torch.ones(len(labels), dtype=torch.bool)
    mask[chosen] = False
    return mask.nonzero()[:, 0], chosen
