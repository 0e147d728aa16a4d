import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from support import noise

from ask_training.data.pictures import DataError
from ask_training.data.sources import read_names, read_source


def write(path: Path, labels: list[list[int]], pixels: torch.Tensor) -> None:
    """Records of those label bytes."""
    path.write_bytes(b"".join(bytes(label) + picture.numpy().tobytes() for label, picture in zip(labels, pixels)))


def cifar100(folder: Path, labels: list[list[int]], names: str = "ape\nbee\ncow\n") -> Path:
    write(folder / "train.bin", labels, noise(len(labels)))
    (folder / "fine_label_names.txt").write_text(names)
    return folder


def cifar10(folder: Path, **parts: list[int]) -> Path:
    for i, (name, labels) in enumerate(parts.items()):
        write(folder / f"{name}.bin", [[label] for label in labels], noise(len(labels), seed=i))
    (folder / "batches.meta.txt").write_text("ape\nbee\ncow\n\n")
    return folder


def test_cifar_100_comes_back_as_written(tmp_path: Path) -> None:
    cifar100(tmp_path, [[4, 2], [9, 0], [4, 1], [4, 2], [9, 0]])

    source = read_source(tmp_path, 32)

    assert len(source.pictures) == 5
    assert torch.equal(source.pictures.pixels, noise(5))
    assert source.pictures.labels.tolist() == [2, 0, 1, 2, 0]
    assert source.names == ["ape", "bee", "cow"]
    assert source.coarse.tolist() == [9, 4, 4]
    assert source.digest == hashlib.sha256((tmp_path / "train.bin").read_bytes()).hexdigest()
    assert "CIFAR-100" in source.title


def test_cifar_10_is_its_batches_in_order_of_their_names(tmp_path: Path) -> None:
    cifar10(tmp_path, data_batch_2=[1, 1], data_batch_1=[0, 2, 0], test_batch=[2])

    source = read_source(tmp_path, 32)

    assert source.pictures.labels.tolist() == [0, 2, 0, 1, 1]
    assert torch.equal(source.pictures.pixels, torch.cat([noise(3, seed=1), noise(2, seed=0)]))
    assert source.names == ["ape", "bee", "cow"]
    assert source.coarse is None
    batches = [(tmp_path / f"data_batch_{i}.bin").read_bytes() for i in (1, 2)]
    assert source.digest == hashlib.sha256(b"".join(batches)).hexdigest()
    assert "CIFAR-10 " in source.title


def test_a_picture_is_its_red_then_green_then_blue_rows(tmp_path: Path) -> None:
    planes = np.repeat(np.array([10, 20, 30], np.uint8), 1024)
    planes[0] = 77
    cifar100(tmp_path, [[0, 0]], "ape\n")
    (tmp_path / "train.bin").write_bytes(bytes([0, 0]) + planes.tobytes())

    pixels = read_source(tmp_path, 32).pictures.pixels[0]

    assert pixels[:, 31, 31].tolist() == [10, 20, 30]
    assert pixels[0, 0, :2].tolist() == [77, 10]


@pytest.mark.parametrize("length", [0, 1, 3073, 3075, 2 * 3074 - 5])
def test_a_cut_short_file_of_cifar_100_is_refused(tmp_path: Path, length: int) -> None:
    cifar100(tmp_path, [[0, 0]], "ape\n")
    (tmp_path / "train.bin").write_bytes(bytes(length))
    with pytest.raises(DataError, match=rf"train.bin: {length} bytes is not a whole number of 3074-byte records"):
        read_source(tmp_path, 32)


@pytest.mark.parametrize("length", [0, 3072, 3074])
def test_a_cut_short_batch_of_cifar_10_is_refused_by_its_name(tmp_path: Path, length: int) -> None:
    cifar10(tmp_path, data_batch_1=[0, 1, 2], data_batch_2=[0])
    (tmp_path / "data_batch_2.bin").write_bytes(bytes(length))
    with pytest.raises(DataError, match=rf"data_batch_2.bin: {length} bytes is not a whole number of 3073-byte records"):
        read_source(tmp_path, 32)


def test_a_label_beyond_the_names_is_refused_with_its_record(tmp_path: Path) -> None:
    cifar100(tmp_path, [[0, 2], [0, 3], [0, 1]])
    with pytest.raises(DataError, match="train.bin: record 1 has label 3, only 3 classes"):
        read_source(tmp_path, 32)


def test_a_class_without_pictures_is_refused_by_its_name(tmp_path: Path) -> None:
    cifar100(tmp_path, [[0, 0], [0, 2]])
    with pytest.raises(DataError, match="train.bin: class 'bee' has no pictures"):
        read_source(tmp_path, 32)


@pytest.mark.parametrize("make", [lambda at: cifar100(at, [[0, 0]]), lambda at: cifar10(at, data_batch_1=[0])])
def test_records_have_one_side(tmp_path: Path, make) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=r"holds pictures of 32 px, the configuration's side is 64"):
        read_source(tmp_path, 64)


def test_names_that_are_no_text_are_refused_by_their_file(tmp_path: Path) -> None:
    cifar100(tmp_path, [[0, 0]], "ape\n")
    (tmp_path / "fine_label_names.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="fine_label_names.txt is not UTF-8"):
        read_source(tmp_path, 32)


@pytest.mark.parametrize("missing", ["fine_label_names.txt", "batches.meta.txt"])
def test_records_without_names_name_the_file_that_is_missing(tmp_path: Path, missing: str) -> None:
    if missing == "batches.meta.txt":
        cifar10(tmp_path, data_batch_1=[0])
    else:
        cifar100(tmp_path, [[0, 0]])
    (tmp_path / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        read_source(tmp_path, 32)


def test_names_are_lines_without_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("apple\n  aquarium_fish \r\n\nbaby\n\n")
    assert read_names(path) == ["apple", "aquarium_fish", "baby"]


def test_a_name_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    cifar100(tmp_path, [[0, 0]], "apple\nbaby\napple\n")
    with pytest.raises(DataError, match="fine_label_names.txt: a label name occurs twice"):
        read_source(tmp_path, 32)
