"""Reads labelled pictures from disk: CIFAR-10 or CIFAR-100 binary records, or a folder of pictures per class."""

import hashlib
import math
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from .pictures import DataError, Pictures

CIFAR_SIDE = 32
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MOST_NAMED = 20  # mistakes in one message
TRAINING = ("train", "training")  # names of folders that hold parts of a set, in lower case
PARTS = (*TRAINING, "val", "valid", "validation", "test", "testing")


@dataclass(frozen=True)
class Source:
    pictures: Pictures
    names: list[str]  # of the labels
    coarse: Tensor | None  # int64 [classes], CIFAR-100's superclass of each class
    digest: str  # sha256 of what was read
    title: str


def read_source(path: Path, side: int) -> Source:
    """``path`` holds ``train.bin`` with ``fine_label_names.txt`` (CIFAR-100), ``data_batch_*.bin`` with
    ``batches.meta.txt`` (CIFAR-10), or folders of JPEG, PNG or WebP pictures named after their class, perhaps below
    ``train`` or ``Training``; other parts of the set are named on standard error and not read. Pictures become squares
    of ``side`` pixels. Raises DataError naming the file or the class."""
    if not path.is_dir():
        raise DataError(f"{path} is not a folder")
    batches = sorted(path.glob("data_batch_*.bin"))
    if not (path / "train.bin").exists() and not batches:
        return read_tree(_training_part(path), side)
    if side != CIFAR_SIDE:
        raise DataError(f"{path} holds pictures of {CIFAR_SIDE} px, the configuration's side is {side}")
    if batches:
        names = read_names(path / "batches.meta.txt")
        return read_records(batches, names, 1, "CIFAR-10 training set (Krizhevsky, 2009)")
    names = read_names(path / "fine_label_names.txt")
    return read_records([path / "train.bin"], names, 2, "CIFAR-100 training set (Krizhevsky, 2009)")


def _training_part(path: Path) -> Path:
    """The folder with the classes: ``path``, or the training part in it. Raises DataError where there are only parts of
    a set without classes: they would pass for classes themselves."""
    folders = _folders(path)
    parts = [folder for folder in folders if folder.name.lower() in PARTS]
    training = [part for part in parts if part.name.lower() in TRAINING]
    for part in training:
        if len(_folders(part)) < 2:
            continue  # perhaps a class of that name
        if unused := ", ".join(other.name for other in parts if other != part):
            print(f"{path}: {unused} are not used: validation is cut from {part.name}", file=sys.stderr)
        return part
    if training and len(parts) == len(folders) > 1:
        names = ", ".join(part.name for part in parts)
        wanted = f"there must be a folder for each class in {training[0].name}"
        raise DataError(f"{path}: {names} are parts of a set: {wanted}")
    return path


def read_records(paths: list[Path], names: list[str], label_bytes: int, title: str) -> Source:
    """CIFAR binary records: ``label_bytes`` labels, of which the last counts, then R, G and B planes."""
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
        superclasses = torch.from_numpy(records[:, 0].astype(np.int64))
        coarse = torch.zeros(len(names), dtype=torch.long).scatter_(0, labels, superclasses)
    return Source(Pictures(pixels, labels), names, coarse, digest.hexdigest(), title)


def read_names(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}") from error
    if len(set(names)) != len(names):
        raise DataError(f"{path}: a label name occurs twice")
    return names


def read_tree(path: Path, side: int) -> Source:
    """A folder per class, in alphabetical order, with its pictures at any depth below. Hidden files and those of macOS
    are not read. Files that are no JPEG, PNG or WebP are counted on standard error. Raises DataError with everything
    that is wrong: pictures that cannot be read, classes without any, one file in two classes."""
    folders = _folders(path)
    if len(folders) < 2:
        raise DataError(f"{path} holds neither CIFAR records nor a folder for each of two or more classes")
    digest, pixels, labels, others = hashlib.sha256(), [], [], Counter()
    wrong: list[str] = []
    known: dict[bytes, tuple[int, Path]] = {}
    for label, folder in enumerate(tqdm(folders, desc="reading pictures", unit="class", mininterval=2, disable=None)):
        found = sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        files = [file for file in found if file.suffix.lower() in SUFFIXES]
        others.update(file.suffix.lower() or file.name for file in found if file.suffix.lower() not in SUFFIXES)
        if not files:
            wrong.append(f"{folder}: class {folder.name!r} has no pictures ({', '.join(SUFFIXES)})")
        for file in files:
            content = hashlib.sha256(file.read_bytes()).digest()
            digest.update(f"{file.relative_to(path)}\0".encode() + content)
            try:
                pixels.append(read_picture(file, side))
                labels.append(label)
            except DataError as error:
                wrong.append(str(error))
                continue
            first, same = known.setdefault(content, (label, file))
            if first != label:
                wrong.append(f"{file}: the same file as {same}, which is of another class")
    if wrong:
        raise DataError(_list(path, wrong))
    if others:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
        print(f"{path}: left out {kinds}; only {', '.join(SUFFIXES)} are read", file=sys.stderr)
    pictures = Pictures(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels))
    names = [folder.name for folder in folders]
    title = f"a folder of {len(labels)} pictures in {len(names)} classes"
    return Source(pictures, names, None, digest.hexdigest(), title)


def _list(path: Path, wrong: list[str]) -> str:
    """One mistake as it is; of several a list, which ends after a screen full."""
    if len(wrong) == 1:
        return wrong[0]
    more = [f"and {len(wrong) - MOST_NAMED} more"] if len(wrong) > MOST_NAMED else []
    heading = f"{path}: {len(wrong)} things are wrong; mend them, or move these files out:"
    return "\n".join([heading, *wrong[:MOST_NAMED], *more])


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not _hidden(Path(folder.name)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


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
    return fit_square(Image.alpha_composite(white, upright).convert("RGB"), side)


def fit_square(picture: Image.Image, side: int) -> np.ndarray:
    """uint8 [side, side, 3]: the central square of an RGB picture, as the services' libvips shrinks it. That scales
    about the middle to whole pixels, and of an odd surplus leaves out one more before the square than after it."""
    shorter = min(picture.size)
    scale = shorter / side

    def begin(length: int) -> float:
        surplus = int(length / scale + 0.5) - side
        return (length - shorter) / 2 + scale * (surplus % 2) / 2

    left, top = map(begin, picture.size)
    # A pixel of the result may lie partly beyond the edge, which is repeated there.
    beyond = [max(0, math.ceil(at + shorter - length)) for at, length in zip((top, left), picture.size[::-1])]
    padded = Image.fromarray(np.pad(np.asarray(picture), [*((0, n) for n in beyond), (0, 0)], "edge"))
    box = (left, top, left + shorter, top + shorter)
    return np.asarray(padded.resize((side, side), Image.Resampling.LANCZOS, box=box))
