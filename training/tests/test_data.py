import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from support import noise

from ask_training.data import RECORD_BYTES, DataError, read_names, read_records, split


def record(label: int, seed: int = 0) -> bytes:
    return bytes([9, label]) + np.random.default_rng(seed).integers(0, 256, RECORD_BYTES - 2, np.uint8).tobytes()


def test_records_come_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    pixels = noise(5)
    labels = torch.tensor([3, 0, 99, 41, 3])
    path.write_bytes(b"".join(bytes([7, label]) + picture.numpy().tobytes() for label, picture in zip(labels, pixels)))

    pictures = read_records(path)

    assert len(pictures) == 5
    assert torch.equal(pictures.pixels, pixels)
    assert torch.equal(pictures.labels, labels)
    assert pictures.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_picture_is_its_red_then_green_then_blue_rows(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    planes = [bytes([red_green_or_blue] * 1024) for red_green_or_blue in (10, 20, 30)]
    path.write_bytes(bytes([0, 1, 77]) + b"".join(planes)[1:])

    pixels = read_records(path).pixels[0]

    assert pixels[:, 31, 31].tolist() == [10, 20, 30]
    assert pixels[0, 0, :2].tolist() == [77, 10]


def test_a_cut_keeps_pixels_and_labels_together(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    path.write_bytes(b"".join(record(label, seed=label) for label in range(4)))
    pictures = read_records(path)

    cut = pictures.at(torch.tensor([3, 1]))

    assert cut.labels.tolist() == [3, 1]
    assert torch.equal(cut.pixels, pictures.pixels[[3, 1]])
    assert cut.digest == pictures.digest


@pytest.mark.parametrize("length", [0, 1, RECORD_BYTES - 1, RECORD_BYTES + 1])
def test_a_file_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "train.bin"
    path.write_bytes(bytes(length))
    with pytest.raises(DataError, match=rf"train.bin: {length} bytes is not a whole number of 3074-byte records"):
        read_records(path)


def test_a_label_beyond_the_classes_is_refused_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "train.bin"
    path.write_bytes(record(5) + record(100) + record(2))
    with pytest.raises(DataError, match="train.bin: record 1 has label 100, only 100 classes"):
        read_records(path)


def test_names_are_lines_without_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("apple\n  aquarium_fish \r\n\nbaby\n\n")
    assert read_names(path) == ["apple", "aquarium_fish", "baby"]


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("apple\nbaby\napple\n")
    with pytest.raises(DataError, match="names.txt: a label name occurs twice"):
        read_names(path)


LABELS = torch.arange(7).repeat(30)[torch.randperm(210, generator=torch.Generator().manual_seed(0))]


def test_the_split_divides_all_pictures_and_holds_as_many_of_each_class() -> None:
    fit, validation = split(LABELS, 35, seed=1)

    assert torch.cat([fit, validation]).sort().values.tolist() == list(range(210))
    assert LABELS[validation].bincount().tolist() == [5] * 7
    assert fit.tolist() == sorted(fit.tolist())
    assert validation.tolist() == sorted(validation.tolist())


def test_the_seed_alone_decides_the_split() -> None:
    first, again, other = (split(LABELS, 35, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_split_that_is_no_multiple_of_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match="validation split of 36 is not a multiple of 7 classes"):
        split(LABELS, 36, seed=1)


def test_a_class_without_pictures_left_to_fit_is_refused() -> None:
    labels = torch.tensor([0] * 10 + [1] * 3)
    with pytest.raises(DataError, match="class 1 has 3 pictures, 3 of them wanted for validation"):
        split(labels, 6, seed=1)
