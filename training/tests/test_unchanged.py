"""The same recipe by the code of c6565eb and by this one: equal weights, equal exports, and either's results are the
other's. Both run in processes of their own on one thread."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file
from support import TRAINING

from ask_training.experiment.check import read_experiment
from ask_training.experiment.stage import record
from ask_training.export.onnx_files import forget_source

COMMIT = "c6565eb"
TESTS = Path(__file__).parent
RESULTS = ["teacher", "generalist", "base", "specialist-1", "specialist-2", "common", "blend-1", "blend-2"]
MODELS = ["generalist", "expert-1", "expert-2"]


RECORD = """
import json, sys
from pathlib import Path
from ask_training.check import read_experiment
print(json.dumps([list(map(str, read_experiment(Path(path)).stages)) for path in sys.argv[1:]]))
"""


@dataclass(frozen=True)
class Both:
    """What either code made: a folder of results and a bundle each. ``again`` holds the old results, exported anew."""

    old: Path
    new: Path
    again: Path

    @staticmethod
    def run(folder: Path) -> Path:
        return folder / "runs" / "unchanged"


def train(package: Path, what: str, config: str, folder: Path, data: Path, weights: Path) -> None:
    options = {
        "config": TESTS / config,
        "data": data,
        "weights": weights,
        "runs": folder / "runs",
        "to": folder / "bundle",
    }
    command = [
        sys.executable,
        "-m",
        "ask_training",
        what,
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
    ]
    environment = os.environ | {"PYTHONPATH": str(package), "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training folder of that commit."""
    folder = tmp_path_factory.mktemp("code")
    archive = folder / "code.tar"
    found = subprocess.run(
        ["git", "archive", "--output", str(archive), COMMIT, "training/ask_training", "training/configs"],
        cwd=TRAINING.parent, capture_output=True, text=True, check=False,
    )
    if found.returncode:
        pytest.skip(
            f"NOT COMPARED with {COMMIT}, which this clone lacks (git fetch --unshallow): {found.stderr.strip()}"
        )
    shutil.unpack_archive(archive, folder, filter="data")
    return folder / "training"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, code: Path, data: Path, weights: Path) -> Both:
    folder = tmp_path_factory.mktemp("unchanged")
    made = Both(*(folder / name for name in ("old", "new", "again")))
    for target in (made.old, made.new, made.again):
        target.mkdir()
    train(code, "all", "c6565eb.toml", made.old, data, weights)
    train(TRAINING, "all", "unchanged.toml", made.new, data, weights)
    shutil.copytree(
        made.run(made.old),
        made.run(made.again),
        ignore=shutil.ignore_patterns("*.onnx", "*.export.json", "*.served.npz"),
    )
    for what in ("all", "export", "bundle"):
        train(TRAINING, what, "unchanged.toml", made.again, data, weights)
    return made


def test_every_committed_recipe_is_recorded_as_before(code: Path) -> None:
    """So that results and half-trained checkpoints of before are gone on from."""
    configs = [path.relative_to(code) for path in sorted((code / "configs").rglob("*.toml"))]
    assert len(configs) > 15
    done = subprocess.run(
        [sys.executable, "-c", RECORD, *map(str, configs)], cwd=code, env=os.environ | {"PYTHONPATH": str(code)},
        capture_output=True, text=True, check=True,
    )
    for path, before in zip(configs, json.loads(done.stdout), strict=True):
        assert [record(stage) for stage in read_experiment(TRAINING / path).stages] == before, path


def figures(folder: Path, name: str) -> dict[str, Any]:
    found = json.loads((Both.run(folder) / f"{name}.json").read_text())
    return {key: value for key, value in found.items() if key != "seconds"}


@pytest.mark.parametrize("name", RESULTS)
def test_a_recipe_gives_the_weights_and_logits_of_before(both: Both, name: str) -> None:
    old, new = (load_file(Both.run(folder) / f"{name}.safetensors") for folder in (both.old, both.new))
    assert old.keys() == new.keys()
    for key, tensor in old.items():
        assert torch.equal(tensor, new[key]), key
    old_logits, new_logits = (np.load(Both.run(folder) / f"{name}.npz")["logits"] for folder in (both.old, both.new))
    np.testing.assert_array_equal(old_logits, new_logits)


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_recorded_as_before(both: Both, name: str) -> None:
    """Its origin among the rest: results of before are taken for what they are."""
    assert figures(both.new, name) == figures(both.old, name)


def test_results_of_before_are_not_trained_again(both: Both) -> None:
    for name in RESULTS:
        assert (Both.run(both.again) / f"{name}.json").read_bytes() == (
            Both.run(both.old) / f"{name}.json"
        ).read_bytes()


@pytest.mark.parametrize("folder", ["new", "again"])
@pytest.mark.parametrize("model", MODELS)
def test_every_exported_file_has_the_digest_of_before(both: Both, model: str, folder: str) -> None:
    """But for the exporter's notes, which hold where the code lay and its lines: no two checkouts agree on those."""
    exported = sorted(Both.run(both.old).glob(f"{model}.*.onnx"))
    assert {path.name.split(".")[1] for path in exported} >= {"float32", "dynamic", "static"}
    for path in exported:
        content = forget_source(onnx.load(path)).SerializeToString()
        new = Both.run(getattr(both, folder)) / path.name.replace("spared", "mixed")
        assert hashlib.sha256(content).hexdigest() == hashlib.sha256(new.read_bytes()).hexdigest(), path.name


def read_migrated(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle of before, as the services upgrade it."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(bundle / "manifest.json", Path(folder) / "manifest.json")
        node = TRAINING.parent / "node_modules" / ".bin" / "node"
        subprocess.run([node, TRAINING.parent / "services/cli/main.ts", "migrate", "--models", folder], check=True)
        return json.loads((Path(folder) / "manifest.json").read_text())


def test_a_bundle_says_what_it_said(both: Both) -> None:
    old, new = read_migrated(both.old / "bundle"), json.loads((both.again / "bundle" / "manifest.json").read_text())
    for manifest in (old, new):
        del manifest["provenance"]["experiment"], manifest["provenance"]["command"]
        manifest["provenance"].pop("licences", None)
        for model in manifest["models"].values():
            del model["sha256"], model["bytes"]
    assert new == old
    for name in ("golden.json", "checkpoint.safetensors"):
        assert (both.again / "bundle" / name).read_bytes() == (both.old / "bundle" / name).read_bytes(), name
    predictions = [load_file(folder / "bundle" / "validation.safetensors") for folder in (both.old, both.again)]
    assert predictions[0].keys() == predictions[1].keys()
    for key, tensor in predictions[0].items():
        assert torch.equal(tensor, predictions[1][key]), key
