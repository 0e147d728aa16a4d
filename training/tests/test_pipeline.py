"""The tiny experiment's run and its golden outputs; see test_bundle for what the manifest says."""

import base64
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import Made, unpack, write_records

from ask_training.__main__ import main
from ask_training.data.golden import golden_pixels
from ask_training.experiment.stage import flatten
from ask_training.export.onnx_files import run_onnx
from ask_training.models.forward import predict
from ask_training.models.weights import at_size
from ask_training.train.run import accuracies

RESULTS = ["generalist", "base", *(f"{stage}-{i}" for stage in ("widening", "specialist") for i in (1, 2, 3))]
MODELS = ["generalist", "expert-1", "expert-2", "expert-3"]


def test_every_stage_leaves_weights_logits_and_figures(made: Made) -> None:
    run = made.run
    validation = run.split[1]
    groups = json.loads((run.folder / "groups.json").read_text())["groups"]
    for name in RESULTS:
        stage = run.stage_of(name)
        figures = run.figures(name)
        logits = predict(run.model(name), validation.pixels, torch.device("cpu"))
        torch.testing.assert_close(run.logits(name), logits, rtol=0, atol=1e-4)
        group = None if stage.pictures == "all" else groups[int(name[-1]) - 1]
        assert figures.items() >= accuracies(logits, validation.labels, group).items()
        origin, architecture = figures["origin"], asdict(run.experiment.architectures[stage.architecture])
        assert architecture.pop("patch") is None
        assert origin.items() >= (flatten(stage) | architecture).items()
        assert (origin["data"], origin["seed"], origin["classes"]) == (run.source.digest, 3, group)


def test_the_settings_in_force_lie_beside_the_results(made: Made) -> None:
    settings = json.loads((made.run.folder / "settings.json").read_text())
    assert settings == json.loads(json.dumps(asdict(made.run.experiment)))
    assert settings["stages"][0]["freeze"] == [0], "a default that the file leaves out"


def test_a_stage_sees_as_many_pictures_as_its_schedule_says(made: Made) -> None:
    """180 fit pictures, 60 of them a group's; batches of 20, and a rest of at least half of one."""
    seen = {name: made.run.figures(name)["pictures"] for name in RESULTS}
    assert (seen["generalist"], seen["base"]) == (3 * 180, 2 * 180)
    assert [seen[f"widening-{i}"] for i in (1, 2, 3)] == [120 + 90] * 3  # 60 and as many, then half as many outsiders
    assert [seen[f"specialist-{i}"] for i in (1, 2, 3)] == [78 + 78] * 3  # three batches and a rest


def test_golden_outputs_are_those_of_a_fresh_runtime_and_of_pytorch(made: Made) -> None:
    pictures = np.stack([np.asarray(unpack(png)) for png in made.golden["png"]])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    assert torch.equal(pixels, golden_pixels())
    assert sorted(made.golden["models"]) == sorted(MODELS)
    for name, outputs in made.golden["models"].items():
        model = made.run.model(made.run.served()[name])
        fresh = run_onnx(made.target / f"{name}.onnx", pixels)
        np.testing.assert_allclose(outputs["served"], fresh, rtol=0, atol=1e-4)
        expected = predict(model, pixels, torch.device("cpu"))
        if name != "generalist":  # the tiny experiment's experts look at the mirror image too, at 32 px
            expected = (expected + predict(at_size(model, 32), pixels.flip(-1), torch.device("cpu"))) / 2
        np.testing.assert_allclose(outputs["torch"], expected, rtol=0, atol=1e-3)
        np.testing.assert_allclose(outputs["served"], outputs["torch"], rtol=0, atol=0.1)


def test_the_golden_photo_becomes_what_the_input_rule_says(made: Made) -> None:
    rule = made.rule
    assert (rule["side"], rule["fit"], rule["kernel"]) == (32, "cover", "lanczos3")
    photo = unpack(made.golden["photo"]["png"])
    assert photo.size == (140, 90)
    expected = photo.resize((32, 32), Image.Resampling.LANCZOS, box=(25, 0, 115, 90))
    recorded = np.frombuffer(base64.b64decode(made.golden["photo"]["pixels"]), np.uint8).reshape(32, 32, 3)
    np.testing.assert_array_equal(recorded, np.asarray(expected))


def test_doing_it_again_changes_nothing(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    def times() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in made.run.folder.iterdir()}

    def bundle() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in made.target.iterdir()}

    before = times(), bundle()
    main(["all", *made.options])
    assert (times(), bundle()) == before
    said = capsys.readouterr().out
    assert [name for name in RESULTS if f"{name}: done before" not in said] == []
    assert [name for name in MODELS if f"{name}: exported before" not in said] == []


def test_a_stage_that_starts_from_another_needs_no_starting_weights(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    at = made.options.index("--weights")
    for stage in ("base", "specialist"):
        main([stage, *made.options[:at], *made.options[at + 2 :]])
    assert "base: done before" in capsys.readouterr().out


def test_another_setting_for_a_finished_stage_is_refused(made: Made, tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(Path(made.options[1]).read_text().replace("freeze = [0, 1]", "freeze = [1]"))
    with pytest.raises(SystemExit, match="^ask_training: .*specialist-1.json was made with another freeze: remove it"):
        main(["all", "--config", str(config), *made.options[2:]])


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Made:
    """The finished run, to spoil."""
    runs = tmp_path / "runs"
    shutil.copytree(made.run.folder, runs / "tiny")
    at = [str(runs) if before == "--runs" else option for before, option in zip(["", *made.options], made.options)]
    return replace(made, options=at, run=replace(made.run, folder=runs / "tiny"))


@pytest.mark.parametrize("step", ["export", "bundle"])
def test_a_step_of_its_own_refuses_what_other_data_made(copied: Made, step: str, tmp_path: Path, data: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(data, other)
    write_records(other / "train.bin", 40, seed=3)
    options = [str(other) if before == "--data" else option for before, option in zip(["", *copied.options], copied.options)]
    before = (copied.target / "manifest.json").read_bytes()
    with pytest.raises(SystemExit, match="^ask_training: .*generalist.json was made with another data: remove it"):
        main([step, *options])
    assert (copied.target / "manifest.json").read_bytes() == before


def retrain(made: Made) -> None:
    """The specialists again with another rate, and nothing after them."""
    head, specialist = Path(made.options[1]).read_text().split('name = "specialist"')
    config = made.run.folder.parent / "tiny.toml"
    config.write_text(f'{head}name = "specialist"{re.sub("(?m)^lr = .*$", "lr = 3e-3", specialist)}')
    made.options[1] = str(config)
    for path in made.run.folder.glob("specialist-*.json"):
        path.unlink()
    main(["specialist", *made.options])


def spoil(made: Made) -> None:
    form = made.run.figures("expert-1", "export.json")["form"]
    made.run.path("expert-1", f"{form}.onnx").write_bytes(b"half")


@pytest.mark.parametrize("change", [retrain, spoil])
def test_a_bundle_holds_no_export_of_other_weights_and_no_damaged_one(copied: Made, change: Callable[[Made], None]) -> None:
    change(copied)
    with pytest.raises(SystemExit, match="^ask_training: .*expert-1.* is not what was exported of these weights: remove .*export.json"):
        main(["bundle", *copied.options])


def test_a_finished_run_keeps_no_checkpoint_and_no_half_written_file(made: Made) -> None:
    for folder in (made.run.folder, made.target):
        suffixes = {path.suffix for path in folder.iterdir()}
        assert suffixes <= {".safetensors", ".npz", ".json", ".onnx"}
