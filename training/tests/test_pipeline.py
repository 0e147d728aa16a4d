import base64
import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import CONFIG

from ask_training.__main__ import main
from ask_training.config import read_experiment
from ask_training.engine import predict
from ask_training.export import open_session, run_onnx
from ask_training.golden import golden_pixels
from ask_training.steps import Run, load_logits, load_model

EXPERTS = ["expert-1", "expert-2", "expert-3"]
MODELS = ["generalist", *EXPERTS]


@dataclass
class Made:
    options: list[str]
    run: Run
    target: Path
    manifest: dict[str, Any] = field(repr=False)
    golden: dict[str, Any] = field(repr=False)


@pytest.fixture(scope="module")
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


def entries(made: Made) -> list[dict[str, Any]]:
    return [made.manifest["generalist"], *made.manifest["experts"]]


def picture(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))


def test_the_manifest_names_every_model_with_its_digest_and_size(made: Made) -> None:
    assert [entry["id"] for entry in entries(made)] == MODELS
    for entry in entries(made):
        content = (made.target / entry["file"]).read_bytes()
        assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))


def test_the_manifest_says_what_each_graph_takes_and_gives(made: Made) -> None:
    assert made.manifest["generalist"]["outputs"] == {"logits": 6, "attention": 4}
    for entry in entries(made):
        session = open_session(made.target / entry["file"])
        assert {output.name: output.shape[1] for output in session.get_outputs()} == entry["outputs"]
        assert entry["inputSize"] == (32 if entry["id"] == "generalist" else 48)
        size = made.manifest["input"]["size"]
        assert session.get_inputs()[0].shape[1:] == [size, size, 3]


def test_every_class_has_one_expert(made: Made) -> None:
    assert made.manifest["labels"] == [f"colour-{i}" for i in range(6)]
    assert made.manifest["generalist"]["classes"] == list(range(6))
    owners = made.manifest["routing"]["classToExpert"]
    for entry in made.manifest["experts"]:
        assert entry["classes"] == [label for label, owner in enumerate(owners) if owner == entry["id"]]
        assert len(entry["classes"]) == 2
    assert sorted(set(owners)) == EXPERTS


def test_the_manifest_tells_where_the_bundle_comes_from(made: Made) -> None:
    provenance = made.manifest["provenance"]
    assert provenance["dataSha256"] == hashlib.sha256((made.run.data / "train.bin").read_bytes()).hexdigest()
    assert (provenance["seed"], provenance["validationPictures"]) == (3, 60)
    assert "--config training/configs/tiny.toml" in provenance["command"]


def test_the_figures_are_what_the_bundle_reaches_on_validation(made: Made) -> None:
    """The manifest's rule, applied to the bundle's own files as the services do."""
    validation = made.run.load()[1]
    routing, figures = made.manifest["routing"], made.manifest["provenance"]["validation"]
    logs = []
    for entry in entries(made):
        logits = torch.from_numpy(run_onnx(made.target / entry["file"], validation.pixels))
        right = (logits.argmax(1) == validation.labels).float()
        own = torch.isin(validation.labels, torch.tensor(entry["classes"]))
        assert entry["figures"]["validationAccuracy"] == pytest.approx(right.mean().item(), abs=1e-4)
        assert right[own].mean() > 0.4  # guessing reaches a sixth
        recorded = load_logits(made.run, entry["id"], "served.npz")[0]
        torch.testing.assert_close(logits, recorded, rtol=0, atol=1e-4)
        lost = entry["figures"]["float32ValidationAccuracy"] - entry["figures"]["int8ValidationAccuracy"]
        assert entry["precision"] == ("int8" if lost <= 0.005 else "float32")
        logs.append((logits / entry["temperature"]).log_softmax(1))
    edge, experts = logs[0], logs[1:]

    assert 0 < routing["threshold"] < 1
    assert routing["k"] in made.run.experiment.operating.k
    asked = edge.exp().amax(1) < routing["threshold"]
    answers = edge.clone()
    for i in asked.nonzero()[:, 0].tolist():
        top, labels = edge[i].exp().topk(routing["k"])
        mass = dict.fromkeys(EXPERTS, 0.0)
        for probability, label in zip(top.tolist(), labels.tolist()):
            mass[routing["classToExpert"][label]] += probability
        expert = experts[EXPERTS.index(max(EXPERTS, key=mass.__getitem__))]
        answers[i] = routing["merge"]["generalistWeight"] * edge[i] + routing["merge"]["expertWeight"] * expert[i]
    accuracy = (answers.argmax(1) == validation.labels).float().mean().item()
    assert figures["accuracy"] == pytest.approx(accuracy, abs=1e-4)
    assert figures["escalated"] == pytest.approx(asked.float().mean().item(), abs=1e-4)
    assert 0 < figures["escalated"] <= 0.5


def test_golden_outputs_are_those_of_a_fresh_runtime_and_of_pytorch(made: Made) -> None:
    pictures = np.stack([np.asarray(picture(png)) for png in made.golden["png"]])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    assert torch.equal(pixels, golden_pixels())
    assert sorted(made.golden["models"]) == sorted(MODELS)
    for name, outputs in made.golden["models"].items():
        architecture = made.run.experiment.generalist if name == "generalist" else made.run.experiment.expert
        model = load_model(made.run, name, architecture, 6)
        fresh = run_onnx(made.target / f"{name}.onnx", pixels)
        np.testing.assert_allclose(outputs["served"], fresh, rtol=0, atol=1e-4)
        expected = predict(model, pixels, torch.device("cpu"))
        if name != "generalist":  # the tiny experiment's experts look at the mirror image too
            expected = (expected + predict(model, pixels.flip(-1), torch.device("cpu"))) / 2
        np.testing.assert_allclose(outputs["torch"], expected, rtol=0, atol=1e-3)
        np.testing.assert_allclose(outputs["served"], outputs["torch"], rtol=0, atol=0.1)


def test_the_golden_photo_becomes_what_the_input_rule_says(made: Made) -> None:
    rule = made.manifest["input"]
    assert (rule["size"], rule["fit"], rule["kernel"]) == (32, "cover", "lanczos3")
    photo = picture(made.golden["photo"]["png"])
    assert photo.size == (140, 90)
    expected = photo.resize((32, 32), Image.Resampling.LANCZOS, box=(25, 0, 115, 90))
    recorded = np.frombuffer(base64.b64decode(made.golden["photo"]["pixels"]), np.uint8).reshape(32, 32, 3)
    # Pillow's box looks past the crop's edges, as a crop before the resize cannot: the middle has to agree.
    np.testing.assert_array_equal(recorded[:, 4:28], np.asarray(expected)[:, 4:28])


def test_doing_it_again_changes_nothing(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in made.run.folder.iterdir()}

    def bundle() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in made.target.iterdir()}

    before = times(), bundle()
    main(["all", *made.options])
    assert (times(), bundle()) == before
    said = capsys.readouterr().out
    assert [name for name in [*MODELS, "base"] if f"{name}: done before" not in said] == []
    assert [name for name in MODELS if f"{name}: exported before" not in said] == []


def test_a_finished_run_keeps_no_checkpoint_and_no_half_written_file(made: Made) -> None:
    names = [path.name for path in made.run.folder.iterdir()]
    assert [name for name in names if name.endswith((".checkpoint", ".partial", ".prepared"))] == []
