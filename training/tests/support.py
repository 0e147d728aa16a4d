"""Small made-up inputs that the tests share."""

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ask_training.experiment.check import read_experiment
from ask_training.experiment.exports import Whole
from ask_training.experiment.stage import Outsiders, PatchDropout, Stage
from ask_training.export.graphs import Graph, make_graph
from ask_training.export.onnx_files import write_graph
from ask_training.models.vit import VisionTransformer
from ask_training.report.stored import read_members
from ask_training.train.run import Run

SIDE = 32
TRAINING = Path(__file__).resolve().parent.parent
CONFIG = Path(__file__).parent / "tiny.toml"
CLASSES = 6
STAGE = Stage(
    name="stage", start="scratch", architecture="small", pictures="group", epochs=3, batch=20, lr=2e-3, layer_decay=0.9,
    weight_decay=0.05, patch_dropout=PatchDropout(0.6), outsiders=Outsiders([0.5]),
)


def refuse(folder: Path, old: str, new: str, message: str) -> None:
    """Holds that the tiny experiment with ``new`` for ``old`` is refused with that message."""
    text = CONFIG.read_text() + ("\n[architectures.bare]\nsize = 32\n" if '"bare"' in new else "")
    assert old in text
    path = folder / "wrong.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError) as raised:
        read_experiment(path)
    assert str(raised.value) == f"{path}: {message}"


def write_records(path: Path, per_class: int, seed: int) -> None:
    """CIFAR-100 records of ``CLASSES`` colours, blurred enough into one another that some pictures are mistaken."""
    rng = np.random.default_rng(seed)
    colours = np.random.default_rng(1).uniform(40, 215, (CLASSES, 3))
    labels = rng.permutation(np.repeat(np.arange(CLASSES), per_class))
    tints = colours[labels] + rng.normal(0, 30, (len(labels), 3))
    pixels = tints[:, :, None, None] + rng.normal(0, 25, (len(labels), 3, SIDE, SIDE))
    with path.open("wb") as to:
        for label, picture in zip(labels, pixels.clip(0, 255).astype(np.uint8)):
            to.write(bytes([label // 2, label]) + picture.tobytes())


def lively_model(seed: int = 0, size: int = 48, depth: int = 2, classes: int = CLASSES) -> VisionTransformer:
    """Random weights far larger than at the start of training, so that every parameter shows in the logits."""
    torch.manual_seed(seed)
    model = VisionTransformer(size, classes, width=48, depth=depth, heads=3).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.25)
    return model


def export_whole(network: VisionTransformer, path: Path, side: int = SIDE, **options: Any) -> Graph:
    """Writes a whole graph in float32."""
    graph = make_graph(Whole("model", "stage", **options), network, side)
    write_graph(graph, path)
    return graph


def noise(count: int, seed: int = 5) -> torch.Tensor:
    """uint8 [count, 3, 32, 32]."""
    return torch.randint(0, 256, (count, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@dataclass
class Made:
    """A run that went from start to bundle."""

    options: list[str]
    run: Run
    target: Path
    manifest: dict[str, Any] = field(repr=False)
    golden: dict[str, Any] = field(repr=False)

    @property
    def entries(self) -> list[dict[str, Any]]:
        return read_members(self.manifest)

    @property
    def cascade(self) -> dict[str, Any]:
        return self.manifest["strategies"]["ask"]

    @property
    def rule(self) -> dict[str, Any]:
        """How a picture becomes the models' input."""
        return self.entries[0]["inputs"]["pixels"]["picture"]


def unpack(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))
