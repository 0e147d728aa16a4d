import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import CONFIG, TRAINING, lively_model, write_records

from ask_training.__main__ import main
from ask_training.data import RECORD_BYTES


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """A step's inputs, all good, for a test to spoil one of them."""
    write_records(tmp_path / "train.bin", 40, seed=2)
    (tmp_path / "fine_label_names.txt").write_text("a\nb\nc\nd\ne\nf\n")
    (tmp_path / "tiny.toml").write_text(CONFIG.read_text())
    torch.save(lively_model().state_dict(), tmp_path / "weights.pth")
    return {
        "config": tmp_path / "tiny.toml", "data": tmp_path, "weights": tmp_path / "weights.pth",
        "runs": tmp_path / "runs", "to": tmp_path / "bundle",
    }


def options(inputs: dict[str, Path]) -> list[str]:
    return [part for name, path in inputs.items() for part in (f"--{name}", str(path))]


def replace(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text().replace(old, new, 1))


SPOILED = {
    "field missing": (replace("tiny.toml", "seed = 3\n", ""), "tiny.toml: seed is missing"),
    "field unknown": (replace("tiny.toml", "heads", "head"), "tiny.toml: generalist: heads is missing, head is unknown"),
    "field mistyped": (replace("tiny.toml", "depth = 2", 'depth = "2"'), "generalist: depth: expected a whole number, got '2'"),
    "no configuration": (lambda folder: (folder / "tiny.toml").unlink(), "No such file or directory: '.*tiny.toml'"),
    "no records": (lambda folder: (folder / "train.bin").unlink(), "No such file or directory: '.*train.bin'"),
    "no names": (lambda folder: (folder / "fine_label_names.txt").unlink(), "No such file or directory: '.*names.txt'"),
    "records cut short": (
        lambda folder: os.truncate(folder / "train.bin", 2 * RECORD_BYTES - 5), "train.bin: 6143 bytes is not a whole number"
    ),
    "too few names": (replace("fine_label_names.txt", "f\n", ""), "record 9 has label 5, only 5 classes"),
    "validation too large": (replace("tiny.toml", "= 60", "= 240"), "class 0 has 40 pictures, 40 of them wanted for validation"),
    "size no multiple": (replace("tiny.toml", "size = 32", "size = 40"), "size 40 is not a multiple of the patch size 16"),
    "no weights": (lambda folder: (folder / "weights.pth").unlink(), "weights.pth is missing: it is what generalist starts from"),
    "weights of another format": (lambda folder: None, "weights.pth: not a safetensors file"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.values(), ids=SPOILED)
def test_a_wrong_input_ends_the_program_with_a_line_that_names_it(
    inputs: dict[str, Path], spoil: Callable[[Path], object], message: str
) -> None:
    spoil(inputs["data"])
    with pytest.raises(SystemExit, match=f"^ask_training: .*{message}"):
        main(["generalist", *options(inputs)])
    assert not inputs["to"].exists()


@pytest.mark.parametrize("step", ["groups", "base", "experts", "export", "bundle"])
def test_a_step_before_its_turn_names_the_file_it_misses(inputs: dict[str, Path], step: str) -> None:
    with pytest.raises(SystemExit, match=r"^ask_training: .*generalist.npz"):
        main([step, *options(inputs)])


def test_an_unknown_step_is_a_usage_error(inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["everything", *options(inputs)])
    assert raised.value.code == 2
    assert "invalid choice: 'everything'" in capsys.readouterr().err


def test_the_process_fails_in_one_line(inputs: dict[str, Path]) -> None:
    inputs["data"].joinpath("train.bin").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "ask_training", "all", *options(inputs)], cwd=TRAINING, capture_output=True, text=True, check=False
    )
    missing = inputs["data"] / "train.bin"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ask_training: [Errno 2] No such file or directory: '{missing}'\n"
