"""No room left, played by a limit on the size of files: the kernel breaks the write off in its middle."""

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import CONFIG, STAGE, Made, lively_model, noise

from ask_training.__main__ import main
from ask_training.data.files import write_atomically, write_json
from ask_training.data.pictures import Pictures
from ask_training.export.bundle import write_bundle
from ask_training.train import engine
from ask_training.train.engine import train_stage
from ask_training.train.run import Run, load_logits, save_logits


@contextmanager
def room(size: int) -> Iterator[None]:
    """At most ``size`` bytes per file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_json(path, {"old": 1})

    def half(to: Path) -> None:
        to.write_text('{"new"')
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        write_atomically(path, half)
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"new": object()})
    with room(5000), pytest.raises(OSError):
        write_json(path, {"new": "x" * 9000})

    assert contents(tmp_path) == {"result.json": b'{\n "old": 1\n}\n'}


def test_logits_that_do_not_fit_leave_the_old_ones(tmp_path: Path) -> None:
    save_logits(tmp_path / "a.npz", torch.zeros(2, 6))
    with room(5000), pytest.raises(OSError):
        save_logits(tmp_path / "a.npz", torch.ones(1000, 6))
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert torch.equal(load_logits(tmp_path / "a.npz"), torch.zeros(2, 6))


def test_a_checkpoint_that_does_not_fit_leaves_the_last_one_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", -1)
    pictures = Pictures(noise(60), torch.arange(60) % 6)
    path = tmp_path / "checkpoint"

    def train(epochs: int) -> dict:
        stage = replace(STAGE, epochs=2)
        return train_stage(lively_model(), pictures, [torch.arange(60)] * epochs, stage, 1, path, "stage")

    with room(100_000), pytest.raises((OSError, RuntimeError)):
        train(1)
    assert contents(tmp_path) == {}

    train(1)
    before = contents(tmp_path)
    with room(100_000), pytest.raises((OSError, RuntimeError)):
        train(2)
    assert contents(tmp_path) == before
    assert train(2)["pictures"] == 120


def test_a_bundle_that_does_not_fit_leaves_nothing_or_the_one_that_was_there(made: Made, tmp_path: Path) -> None:
    size = made.entries[0]["bytes"]
    for before in ({}, {"generalist.onnx": b"old", "manifest.json": b"old"}):
        for name, content in before.items():
            (tmp_path / "bundle").mkdir(exist_ok=True)
            (tmp_path / "bundle" / name).write_bytes(content)
        with room(size - 100), pytest.raises(OSError) as raised:
            write_bundle(made.run, tmp_path / "bundle", "command")
        assert raised.value.errno == errno.EFBIG
        assert [path.name for path in tmp_path.iterdir()] == (["bundle"] if before else [])
        assert not before or contents(tmp_path / "bundle") == before

    write_bundle(made.run, tmp_path / "bundle", made.manifest["provenance"]["command"])
    expected = contents(made.target)
    del expected["expert-9.onnx"]
    found = contents(tmp_path / "bundle")
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


@pytest.mark.parametrize("saving", [-1, 10**9], ids=["a checkpoint", "the finished weights"])
def test_the_program_ends_with_a_line_when_there_is_no_room(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saving: int
) -> None:
    """Neither PyTorch nor safetensors raise OSError."""
    monkeypatch.setattr(engine, "CHECKPOINT_SECONDS", saving)
    options = ["--config", CONFIG, "--data", run.data, "--weights", run.weights, "--runs", tmp_path, "--to", tmp_path]
    with room(50_000), pytest.raises(SystemExit, match="^ask_training: "):
        main(["generalist", *map(str, options)])
    assert [path.name for path in (tmp_path / "tiny").iterdir()] == ["settings.json"]
