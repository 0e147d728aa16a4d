import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support import CLASSES, CONFIG, Made, write_records

from ask_training.__main__ import main
from ask_training.experiment.check import read_experiment
from ask_training.models.vit import VisionTransformer
from ask_training.train.run import Run

# One CPU thread on every machine: the same sums in the same order, and no threads that wait for one another.
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_records(folder / "train.bin", 40, seed=2)
    (folder / "fine_label_names.txt").write_text("".join(f"colour-{i}\n" for i in range(CLASSES)))
    return folder


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A starting checkpoint of another resolution and number of classes, as the real one is."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    save_file(VisionTransformer(64, 11, width=48, depth=2, heads=3).state_dict(), path)
    return path


@pytest.fixture
def run(tmp_path: Path, data: Path, weights: Path) -> Run:
    experiment = read_experiment(CONFIG)
    return Run(experiment, tmp_path / "runs" / experiment.name, data, weights)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, data: Path, weights: Path) -> Made:
    """The tiny experiment from start to bundle, into a folder that holds a larger bundle's leftover."""
    folder = tmp_path_factory.mktemp("pipeline")
    target = folder / "bundle"
    target.mkdir()
    (target / "expert-9.onnx").write_bytes(b"of an earlier bundle")
    options = ["--config", CONFIG, "--data", data, "--weights", weights, "--runs", folder / "runs", "--to", target]
    options = list(map(str, options))
    main(["all", *options])
    return Made(
        options, Run(read_experiment(CONFIG), folder / "runs" / "tiny", data, weights), target,
        json.loads((target / "manifest.json").read_text()), json.loads((target / "golden.json").read_text()),
    )
