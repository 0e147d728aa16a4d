"""Reads labelled pictures from disk: CIFAR-10 or CIFAR-100 binary records, or a folder of pictures per class."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .data import DataError, Pictures

CIFAR_SIDE = 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


@dataclass(frozen=True)
class Source:
    pictures: Pictures
    names: list[str]  # of the labels
    coarse: Tensor | None  # int64 [classes], CIFAR-100's superclass of each class
    digest: str  # sha256 of what was read
    title: str


def read_source(path: Path, side: int) -> Source:
    """Finds out what ``path`` holds: ``train.bin`` with ``fine_label_names.txt`` (CIFAR-100), ``data_batch_*.bin`` with
    ``batches.meta.txt`` (CIFAR-10), or folders of JPEG, PNG or WebP pictures named after their class, perhaps below
    ``train``. Pictures become squares of ``side`` pixels. Raises DataError naming the file or the class."""
    if not path.is_dir():
        raise DataError(f"{path} is not a folder")
    batches = sorted(path.glob("data_batch_*.bin"))
    if not (path / "train.bin").exists() and not batches:
        return read_tree(path / "train" if (path / "train").is_dir() else path, side)
    if side != CIFAR_SIDE:
        raise DataError(f"{path} holds pictures of {CIFAR_SIDE} px, the configuration's side is {side}")
    if batches:
        return read_records(batches, read_names(path / "batches.meta.txt"), 1, "CIFAR-10 training set (Krizhevsky, 2009)")
    names = read_names(path / "fine_label_names.txt")
    return read_records([path / "train.bin"], names, 2, "CIFAR-100 training set (Krizhevsky, 2009)")


def read_records(paths: list[Path], names: list[str], label_bytes: int, title: str) -> Source:
    """CIFAR binary records: ``label_bytes`` labels, the last of them the one that counts; then R, G and B planes."""
    size, digest, parts = label_bytes + 3 * CIFAR_SIDE**2, hashlib.sha256(), []
    for path in paths:
        raw = path.read_bytes()
        if not raw or len(raw) % size:
            raise DataError(f"{path}: {len(raw)} bytes is not a whole number of {size}-byte records")
        records = np.frombuffer(raw, np.uint8).reshape(-1, size)
        labels = records[:, label_bytes - 1]
        if labels.max() >= len(names):
            raise DataError(f"{path}: record {labels.argmax()} has label {labels.max()}, only {len(names)} classes")
        digest.update(raw)
        parts.append(records)
    records = np.concatenate(parts)
    labels = torch.from_numpy(records[:, label_bytes - 1].astype(np.int64))
    pixels = torch.from_numpy(records[:, label_bytes:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE).copy())
    for label in sorted(set(range(len(names))) - set(labels.tolist())):
        raise DataError(f"{paths[0]}: class {names[label]!r} has no pictures")
    coarse = None
    if label_bytes == 2:
        coarse = torch.zeros(len(names), dtype=torch.long).scatter_(0, labels, torch.from_numpy(records[:, 0].astype(np.int64)))
    return Source(Pictures(pixels, labels), names, coarse, digest.hexdigest(), title)


def read_names(path: Path) -> list[str]:
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if len(set(names)) != len(names):
        raise DataError(f"{path}: a label name occurs twice")
    return names


def read_tree(path: Path, side: int) -> Source:
    """A folder per class, in alphabetical order, with its pictures at any depth below."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if len(folders) < 2:
        raise DataError(f"{path} holds neither CIFAR records nor a folder for each of two or more classes")
    digest, pixels, labels = hashlib.sha256(), [], []
    for label, folder in enumerate(folders):
        files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not files:
            raise DataError(f"{folder}: class {folder.name!r} has no pictures ({', '.join(SUFFIXES)})")
        for file in files:
            digest.update(f"{file.relative_to(path)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
            pixels.append(read_picture(file, side))
            labels.append(label)
    pictures = Pictures(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels))
    names = [folder.name for folder in folders]
    return Source(pictures, names, None, digest.hexdigest(), f"a folder of {len(labels)} pictures in {len(names)} classes")


def read_picture(file: Path, side: int) -> np.ndarray:
    """uint8 [side, side, 3] by the bundle's input rule: upright, on white, central square, Lanczos."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip to 8
                image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: the picture cannot be read: {error}") from error
    white = Image.new("RGBA", upright.size, (255, 255, 255, 255))
    flat, shorter = Image.alpha_composite(white, upright).convert("RGB"), min(upright.size)
    left, top = (upright.width - shorter) // 2, (upright.height - shorter) // 2
    square = flat.crop((left, top, left + shorter, top + shorter))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))
