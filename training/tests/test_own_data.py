"""Someone's own pictures in folders, from the tree to a bundle."""

import hashlib
import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from support import TRAINING

from ask_training.__main__ import main
from ask_training.export.onnx_files import open_session
from ask_training.report.stored import read_members

CONFIG = Path(__file__).parent / "own.toml"
COLOURS = {"beach": (215, 190, 130), "forest": (40, 110, 50), "sea": (50, 90, 200)}
MODELS = ["generalist", "expert-1"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small pictures of all shapes, twenty a class, some of them in folders of their own."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(6)
    for name, colour in COLOURS.items():
        for i in range(20):
            height, width = rng.integers(40, 80, 2)
            pixels = np.array(colour) + rng.normal(0, 12, 3) + rng.normal(0, 20, (height, width, 3))
            path = folder / "pictures" / name / ("2024" if i % 4 == 0 else ".") / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    options = {"config": CONFIG, "data": folder / "pictures", "runs": folder / "runs", "to": folder / "bundle"}
    main(["all", *(part for name, value in options.items() for part in (f"--{name}", str(value)))])
    return folder / "bundle"


@pytest.fixture(scope="module")
def manifest(bundle: Path) -> dict:
    return json.loads((bundle / "manifest.json").read_text())


def test_the_bundle_is_complete(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == [
        "expert-1.onnx", "generalist.onnx", "golden.json", "manifest.json", "validation.safetensors",
    ]


def test_the_labels_are_the_folders_names(manifest: dict) -> None:
    assert manifest["labels"] == ["beach", "forest", "sea"]
    members = [(member["id"], member["classes"]) for member in read_members(manifest)]
    assert members == [("generalist", [0, 1, 2]), ("expert-1", [0, 1, 2])]
    assert manifest["strategies"]["ask"]["routing"]["classToExpert"] == ["expert-1"] * 3


def test_the_provenance_is_the_trees_and_knows_no_starting_weights(manifest: dict) -> None:
    provenance = manifest["provenance"]
    assert provenance["data"] == "a folder of 60 pictures in 3 classes"
    assert provenance["startingWeights"] is None
    assert (provenance["validationPictures"], provenance["heldPictures"]) == (18, 9)
    assert "--weights" not in provenance["command"]


@pytest.mark.parametrize("model", MODELS)
def test_each_graph_answers_pictures_of_each_class_by_its_name(bundle: Path, manifest: dict, model: str) -> None:
    session = open_session(bundle / f"{model}.onnx")
    size = manifest["models"][model]["inputs"]["pixels"]["picture"]["side"]
    assert size == 48
    for label, name in enumerate(manifest["labels"]):
        noise = np.random.default_rng(9).normal(0, 20, (1, size, size, 3))
        pixels = (np.array(COLOURS[name]) + noise).clip(0, 255).astype(np.uint8)
        logits = session.run(["logits"], {"pixels": pixels})[0]
        assert logits.shape == (1, 3)
        assert logits.argmax() == label


def test_digests_and_predictions_belong_to_the_weights(bundle: Path, manifest: dict) -> None:
    digests = {name: model["sha256"] for name, model in manifest["models"].items()}
    assert digests == {name: hashlib.sha256((bundle / f"{name}.onnx").read_bytes()).hexdigest() for name in MODELS}
    tensors = load_file(bundle / "validation.safetensors")
    with safe_open(bundle / "validation.safetensors", "pt") as file:
        assert json.loads(file.metadata()["models"]) == digests
    labels = tensors["labels"].long()
    assert labels.bincount().tolist() == [6, 6, 6]
    for name in MODELS:
        assert tensors[name].shape == (18, 3)
        assert (tensors[name].argmax(1) == labels).float().mean() > 0.7
    assert torch.equal(tensors["held"], torch.tensor([0, 1] * 9, dtype=torch.uint8))


def test_npm_start_serves_the_bundle(bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "forest.png"
    Image.new("RGB", (90, 60), COLOURS["forest"]).save(picture)
    service = subprocess.Popen(
        ["npm", "start", "--silent"], cwd=TRAINING.parent, env=os.environ | {"ASK_MODELS_DIR": str(bundle), "PORT": "0"},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    try:
        lines = (json.loads(line) for line in service.stderr if line.startswith("{"))
        url = next(line["url"] for line in lines if "url" in line)
        next(line for line in lines if line["msg"] == "experts are ready")
        request = urllib.request.Request(f"{url}/classify?strategy=expert", picture.read_bytes(), {"content-type": "image/png"})
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert (answer["label"], answer["route"], answer["expert"]) == ("forest", "expert", "expert-1")
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.communicate(timeout=60)
