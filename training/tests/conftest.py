from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ask_training.config import read_experiment
from ask_training.data import SIDE
from ask_training.steps import Run
from ask_training.vit import VisionTransformer

CONFIG = Path(__file__).parent / "tiny.toml"
CLASSES = 6


def write_records(path: Path, per_class: int, seed: int) -> None:
    """CIFAR-100 records of ``CLASSES`` flat colours with noise, in a fixed shuffled order."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(1).uniform(40, 215, (CLASSES, 3))
    labels = rng.permutation(np.repeat(np.arange(CLASSES), per_class))
    pixels = colours[labels][:, :, None, None] + rng.normal(0, 25, (len(labels), 3, SIDE, SIDE))
    with path.open("wb") as to:
        for label, picture in zip(labels, pixels.clip(0, 255).astype(np.uint8)):
            to.write(bytes([0, label]) + picture.tobytes())


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
