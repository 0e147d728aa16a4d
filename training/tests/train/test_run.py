from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from support import lively_model

from ask_training.experiment.config import Architecture, Cascade
from ask_training.experiment.exports import Blocks, Whole
from ask_training.experiment.stage import Distillation, Soup, Stage
from ask_training.models.forward import autocast, predict
from ask_training.train.run import Run, accuracies, load_logits, save_logits


def test_a_run_cuts_its_data_into_fit_and_validation(run: Run) -> None:
    fit, validation = run.split
    assert run.source.names == [f"colour-{i}" for i in range(6)]
    assert run.classes == 6
    assert fit.labels.bincount().tolist() == [30] * 6
    assert validation.labels.bincount().tolist() == [10] * 6


def test_a_cheap_regime_fits_on_a_share_and_keeps_the_validation_pictures(run: Run) -> None:
    cheap = replace(run, experiment=replace(run.experiment, subset=0.2))
    assert cheap.split[0].labels.bincount().tolist() == [6] * 6
    assert torch.equal(cheap.split[1].pixels, run.split[1].pixels)
    whole = {picture.numpy().tobytes() for picture in run.split[0].pixels}
    assert {picture.numpy().tobytes() for picture in cheap.split[0].pixels} < whole


def test_the_data_are_read_once_per_folder_and_side(run: Run) -> None:
    assert replace(run, folder=Path("elsewhere")).source is run.source
    other = replace(run, experiment=replace(run.experiment, side=64))
    with pytest.raises(ValueError, match="the configuration's side is 64"):
        _ = other.source


def test_a_stage_trains_one_model_or_one_per_group(run: Run) -> None:
    stage = run.experiment.stage
    assert run.results(stage("base")) == ["base"]
    assert run.results(stage("widening")) == ["widening-1", "widening-2", "widening-3"]
    assert run.stage_of("base") == stage("base")
    assert run.stage_of("specialist-3") == stage("specialist")


def test_the_cascade_serves_a_model_per_group_or_one_for_all(run: Run) -> None:
    assert run.served() == {"generalist": "generalist"} | {f"expert-{i}": f"specialist-{i}" for i in (1, 2, 3)}
    exports = [Whole("first", "base"), Whole("second", "base", per_group=True), Blocks("part", "base", stop=1)]
    cascade = Cascade(generalist="first", experts="second")
    shared = replace(run, experiment=replace(run.experiment, exports=exports, strategies={"ask": cascade}))
    assert shared.served() == {"first": "base"} | {f"second-{i}": "base" for i in (1, 2, 3)}
    assert list(shared.exports) == ["first", "second-1", "second-2", "second-3", "part"]


def test_only_stages_that_no_groups_decide_are_kept_in_the_common_folder(run: Run, tmp_path: Path) -> None:
    mean = Stage("mean", "base", "medium", "all", epochs=0, soup=Soup(["widening"]))
    later = Stage("later", "base", "medium", "all", epochs=1, teachers=["mean"], distillation=Distillation(0.5))
    experiment = replace(run.experiment, stages=[*run.experiment.stages, mean, later])
    shared = replace(run, experiment=experiment, common=tmp_path / "common")
    assert shared.path("mean", "npz") == run.folder / "mean.npz"
    assert shared.path("later", "npz") == run.folder / "later.npz"
    assert shared.path("base", "checkpoint") == tmp_path / "common" / "base.checkpoint"
    assert shared.path("widening-1", "safetensors") == run.folder / "widening-1.safetensors"
    assert run.path("base", "npz") == run.folder / "base.npz"


def test_logits_on_the_fit_pictures_are_worked_out_once(run: Run) -> None:
    run.folder.mkdir(parents=True)
    save_file(lively_model(size=48).state_dict(), run.path("base", "safetensors"))
    with autocast(torch.device("cpu")):
        expected = predict(lively_model(size=48), run.split[0].pixels, torch.device("cpu")).float()

    first = run.fit_logits("base")
    run.path("base", "safetensors").unlink()

    assert first.dtype == torch.float16
    torch.testing.assert_close(first.float(), expected, rtol=2e-3, atol=2e-3)
    assert torch.equal(run.fit_logits("base"), first)


def test_what_an_architecture_leaves_out_is_that_of_the_starting_weights(run: Run) -> None:
    bare = {name: Architecture(known.size, heads=3) for name, known in run.experiment.architectures.items()}
    bare_run = replace(run, experiment=replace(run.experiment, architectures=bare))
    for name in ("generalist", "base", "specialist"):
        stage = run.experiment.stage(name)
        found, known = bare_run.architecture(stage), run.experiment.architectures[stage.architecture]
        assert (found.width, found.depth, found.heads, found.patch) == (known.width, known.depth, known.heads, 16)
        assert bare_run.build(stage).state_dict().keys() == run.build(stage).state_dict().keys()
    with pytest.raises(ValueError, match="heads must be configured: the width 48 is not a multiple of 64"):
        replace(run, experiment=replace(run.experiment, architectures={"small": Architecture(32)})).architecture(
            run.experiment.stage("generalist"))


def test_fresh_weights_depend_on_the_experiments_seed_alone(run: Run) -> None:
    stage = run.experiment.stage("generalist")
    other = replace(run, experiment=replace(run.experiment, seed=4))
    first, again, unlike = (one.build(stage).head.weight for one in (run, run, other))
    assert first.shape == (6, 48)
    assert torch.equal(first, again)
    assert not torch.equal(first, unlike)


def test_logits_come_back_as_stored(tmp_path: Path) -> None:
    logits = torch.randn(4, 6)
    save_logits(tmp_path / "a.npz", logits)
    assert torch.equal(load_logits(tmp_path / "a.npz"), logits)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_accuracies_are_over_all_pictures_and_over_the_experts_own() -> None:
    logits = torch.eye(3)[[0, 1, 2, 2, 0, 0]]
    labels = torch.tensor([0, 1, 1, 2, 2, 1])
    assert accuracies(logits, labels, None) == {"validationAccuracy": 0.5}
    assert accuracies(logits, labels, [0, 2]) == {"validationAccuracy": 0.5, "validationAccuracyOwnClasses": 0.6667}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"no archive"])
def test_broken_predictions_are_refused_by_their_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "base.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is broken, remove it"):
        load_logits(path)
