import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support import CONFIG, TRAINING, lively_model, write_records

from ask_training.__main__ import main


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """A step's inputs, all good but for the weights' format, for a test to spoil one of them."""
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
    def spoil(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return spoil


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def cifar_10(folder: Path) -> None:
    (folder / "train.bin").rename(folder / "data_batch_1.bin")


SPOILED = {
    "field missing": (replace("tiny.toml", "seed = 3\n", ""), "tiny.toml: seed is missing"),
    "field unknown": (replace("tiny.toml", "heads", "head"), "tiny.toml: architectures: small: head is unknown"),
    "field mistyped": (
        replace("tiny.toml", "depth = 2", 'depth = "2"'),
        "architectures: small: depth: expected a whole number, got '2'",
    ),
    "stage unknown": (
        replace("tiny.toml", 'start = "base"', 'start = "bass"'),
        "stage 'widening': 'bass' is not an earlier",
    ),
    "no TOML": (lambda folder: (folder / "tiny.toml").write_text("name = "), "tiny.toml: Invalid value"),
    "configuration not UTF-8": (
        lambda folder: (folder / "tiny.toml").write_bytes(b'name = "\xe9"'),
        "tiny.toml: .*codec",
    ),
    "no configuration": (remove("tiny.toml"), "No such file or directory: '.*tiny.toml'"),
    "no records": (remove("train.bin"), "holds neither CIFAR records nor a folder for each of two or more classes"),
    "no names": (remove("fine_label_names.txt"), "No such file or directory: '.*fine_label_names.txt'"),
    "no names of CIFAR-10": (cifar_10, "No such file or directory: '.*batches.meta.txt'"),
    "records cut short": (
        lambda folder: os.truncate(folder / "train.bin", 2 * 3074 - 5),
        "train.bin: 6143 bytes is not a whole number",
    ),
    "too few names": (replace("fine_label_names.txt", "f\n", ""), r"train.bin: record \d+ has label 5, only 5 classes"),
    "too many names": (replace("fine_label_names.txt", "f\n", "f\ng\n"), "train.bin: class 'g' has no pictures"),
    "a name twice": (replace("fine_label_names.txt", "f\n", "a\n"), "fine_label_names.txt: a label name occurs twice"),
    "another side": (
        replace("tiny.toml", "seed = 3", "seed = 3\nside = 64"),
        "pictures of 32 px, the configuration's side is 64",
    ),
    "validation too large": (replace("tiny.toml", "= 0.25", "= 0.99"), "class a has 40 pictures, 40 of them wanted"),
    "k beyond the classes": (
        replace("tiny.toml", "k = [1, 2]", "k = [1, 7]"),
        "operating: k goes to 7, there are 6 classes",
    ),
    "groups that do not fit": (
        replace("tiny.toml", "count = 3", "count = 4"),
        "6 classes do not fit 4 groups of 2 to 2",
    ),
    "size no multiple": (
        replace("tiny.toml", "size = 32", "size = 40\npatch = 16"),
        "architecture 'small': size must be a multiple of 16, got 40",
    ),
    "no weights": (remove("weights.pth"), "weights.pth is missing: it is what generalist starts from"),
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


def test_too_few_pictures_to_validate_on_are_refused_before_anything_is_trained(inputs: dict[str, Path]) -> None:
    write_records(inputs["data"] / "train.bin", 4, seed=2)
    with pytest.raises(SystemExit, match="^ask_training: 6 pictures are too few to validate on, 10 are needed: add pictures"):
        main(["all", *options(inputs)])
    assert not inputs["runs"].exists()


def test_a_size_that_the_checkpoints_patches_do_not_fill_is_refused_before_anything_is_trained(
    inputs: dict[str, Path], weights: Path
) -> None:
    inputs["weights"] = weights
    replace("tiny.toml", "size = 48", "size = 56")(inputs["data"])
    with pytest.raises(
        SystemExit, match="^ask_training: architecture 'medium': size must be a multiple of 16, got 56$"
    ):
        main(["all", *options(inputs)])
    assert not inputs["runs"].exists()


def test_a_stage_from_weights_asks_for_them(inputs: dict[str, Path]) -> None:
    del inputs["weights"]
    with pytest.raises(SystemExit, match="^ask_training: stage 'generalist' starts from weights: name them with --weights$"):
        main(["all", *options(inputs)])


EARLY = {
    "base": "generalist.safetensors is missing: it is what base starts from",
    "widening": "generalist.npz is missing: it says which classes belong together",
    "specialist": "generalist.npz is missing: it says which classes belong together",
    "export": "generalist.json is missing: run the stage .generalist. first",
    "bundle": "generalist.json is missing: run the stage .generalist. first",
}


@pytest.mark.parametrize(("step", "file"), EARLY.items(), ids=EARLY)
def test_a_step_before_its_turn_names_the_file_it_misses(
    inputs: dict[str, Path], weights: Path, step: str, file: str
) -> None:
    inputs["weights"] = weights
    with pytest.raises(SystemExit, match=f"^ask_training: .*{file}"):
        main([step, *options(inputs)])


@pytest.mark.parametrize("step", ["everything", "experts", "widening-1"])
def test_an_unknown_step_is_answered_with_those_there_are(inputs: dict[str, Path], step: str) -> None:
    known = f"{inputs['config']} has generalist, base, widening, specialist, export, bundle"
    with pytest.raises(SystemExit, match=f"^ask_training: there is no step '{step}'; {known}$"):
        main([step, *options(inputs)])


def test_data_must_be_named(inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    del inputs["data"]
    with pytest.raises(SystemExit) as raised:
        main(["all", *options(inputs)])
    assert raised.value.code == 2
    assert "the following arguments are required: --data" in capsys.readouterr().err


def test_the_process_fails_in_one_line(inputs: dict[str, Path]) -> None:
    inputs["data"].joinpath("fine_label_names.txt").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "ask_training", "all", *options(inputs)], cwd=TRAINING, capture_output=True, text=True, check=False
    )
    missing = inputs["data"] / "fine_label_names.txt"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ask_training: [Errno 2] No such file or directory: '{missing}'\n"
