import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support import STAGE, Made

from ask_training.data.files import write_json
from ask_training.experiment.stage import Distillation, Outsiders, Soup, Stage
from ask_training.train import engine, loss
from ask_training.train.distil import ConsistentTeacher
from ask_training.train.origin import origin_of, start_of
from ask_training.train.pools import draw_pools
from ask_training.train.run import Run, save_logits
from ask_training.train.stages import perform, seed_of, teach

LABELS = torch.arange(6).repeat(20)[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
GROUP = [1, 4]
OWN = torch.isin(LABELS, torch.tensor(GROUP)).nonzero()[:, 0]


def outsiders(pool: torch.Tensor) -> list[int]:
    """Of a pool that must hold the whole group once."""
    members = torch.isin(pool, OWN)
    assert pool[members].sort().values.tolist() == OWN.tolist()
    assert len(pool.unique()) == len(pool)
    return pool[~members].tolist()


def test_a_stage_on_all_pictures_sees_each_of_them_every_epoch() -> None:
    pools = draw_pools(LABELS, None, replace(STAGE, epochs=3, outsiders=Outsiders([0.5])), seed=5)
    assert [pool.tolist() for pool in pools] == [list(range(120))] * 3


def test_an_epoch_holds_the_group_and_the_share_of_outsiders_that_is_in_force() -> None:
    pools = draw_pools(LABELS, GROUP, replace(STAGE, epochs=5, outsiders=Outsiders([1.0, 0.25, 0.5])), seed=5)
    assert [len(outsiders(pool)) for pool in pools] == [40, 10, 20, 20, 20]


def test_every_epoch_draws_other_outsiders_from_all_the_other_classes() -> None:
    drawn = [
        set(outsiders(pool))
        for pool in draw_pools(LABELS, GROUP, replace(STAGE, epochs=3, outsiders=Outsiders([0.75])), seed=5)
    ]
    assert len({frozenset(epoch) for epoch in drawn}) == 3
    for epoch in drawn:
        assert set(LABELS[list(epoch)].tolist()) == {0, 2, 3, 5}


def test_the_seed_alone_decides_the_outsiders() -> None:
    first, again, other = (torch.stack(draw_pools(LABELS, GROUP, STAGE, seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.01, 0), (2.0, 80), (9.0, 80)])
def test_outsiders_are_as_many_as_asked_for_or_all_there_are(share: float, count: int, hardest: bool) -> None:
    stage = replace(STAGE, outsiders=Outsiders([share], hardest))
    assert len(outsiders(draw_pools(LABELS, GROUP, stage, 5, torch.zeros(120, 6))[0])) == count


def test_the_hardest_outsiders_are_those_the_teacher_takes_most_for_the_groups() -> None:
    teacher = 3 * torch.randn(120, 6, generator=torch.Generator().manual_seed(1))
    mass = teacher.softmax(1)[:, GROUP].sum(1)
    ranked = sorted(set(range(120)) - set(OWN.tolist()), key=lambda i: -mass[i].item())

    pools = draw_pools(LABELS, GROUP, replace(STAGE, epochs=3, outsiders=Outsiders([0.5, 0.1], True)), 5, teacher)

    assert [set(outsiders(pool)) for pool in pools] == [set(ranked[:20]), set(ranked[:4]), set(ranked[:4])]


def test_a_seed_is_its_models_own_and_the_same_in_every_process() -> None:
    seeds = [seed_of(seed, name) for seed in (3, 4) for name in ("base", "specialist-1", "specialist-2")]
    assert len(set(seeds)) == 6
    assert seed_of(3, "base") == 13_368_214


def test_a_model_starts_from_nothing_the_weights_or_the_stage_before(run: Run) -> None:
    stages = {stage.name: stage for stage in run.experiment.stages}
    assert start_of(run, replace(stages["base"], start="scratch"), "base") is None
    assert start_of(run, stages["generalist"], "generalist") == run.weights
    assert start_of(run, stages["base"], "base") == run.folder / "generalist.safetensors"
    assert start_of(run, stages["widening"], "widening-2") == run.folder / "base.safetensors"
    assert start_of(run, stages["specialist"], "specialist-2") == run.folder / "widening-2.safetensors"


def test_a_stage_that_needs_weights_says_how_to_name_them(run: Run) -> None:
    stage = run.experiment.stage("generalist")
    with pytest.raises(ValueError, match="stage 'generalist' starts from weights: name them with --weights"):
        start_of(replace(run, weights=None), stage, "generalist")


def test_a_stage_before_the_one_it_starts_from_names_the_missing_file(run: Run) -> None:
    with pytest.raises(FileNotFoundError, match=r"generalist.safetensors is missing: it is what base starts from"):
        perform(run, run.experiment.stage("base"))


def test_several_teachers_teach_the_mean_of_their_log_probabilities(run: Run) -> None:
    run.folder.mkdir(parents=True)
    one, other = (4 * torch.randn(180, 6, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    save_logits(run.path("generalist", "fit.npz"), (one + 7).half())
    save_logits(run.path("base", "fit.npz"), other.half())

    both = teach(run, run.experiment.stage("widening"))
    alone = teach(run, run.experiment.stage("specialist"))

    torch.testing.assert_close(both, (one.log_softmax(1) + other.log_softmax(1)) / 2, rtol=0, atol=0.02)
    torch.testing.assert_close(alone, other.log_softmax(1), rtol=0, atol=0.02)
    assert teach(run, run.experiment.stage("generalist")) is None


def finish(run: Run, **changes: object) -> Path:
    """A result of the generalist's stage that was made from what the run has, but for the changes."""
    run.folder.mkdir(parents=True)
    origin = origin_of(run, run.experiment.stage("generalist"), "generalist", None)
    write_json(run.path("generalist", "json"), {"origin": origin | changes})
    return run.path("generalist", "json")


def test_a_finished_stage_is_left_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = finish(run)
    perform(run, run.experiment.stage("generalist"))
    assert capsys.readouterr().out == f"generalist: done before, see {path}\n"
    assert [entry.name for entry in run.folder.iterdir()] == ["generalist.json"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lr": 1.0, "epochs": 9}, "epochs, lr"),
        ({"data": "0" * 64}, "data"),
        ({"seed": 4, "split": [0.5, 7, 1.0]}, "seed, split"),
        ({"starting weights": "0" * 64}, "starting weights"),
        ({"no such setting now": 1}, "no such setting now"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_result_made_from_something_else_is_refused_by_its_name(run: Run, changes: dict, named: str) -> None:
    path = finish(run, **changes)
    with pytest.raises(ValueError, match=f"{path} was made with another {named}: remove it"):
        perform(run, run.experiment.stage("generalist"))


def test_a_last_step_that_spoils_the_weights_leaves_no_result(run: Run) -> None:
    stage = replace(run.experiment.stage("generalist"), epochs=1, batch=10_000, lr=1e30)
    with pytest.raises(FloatingPointError, match="^generalist: an output after the last step is .* at step 1; .*Lower the stage's lr"):
        perform(run, stage)
    assert list(run.folder.iterdir()) == []


def test_consistent_teachers_are_asked_about_views_and_not_about_the_pictures_as_they_are(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = made.run.experiment
    pupil = Stage(
        "pupil", "generalist", "medium", "all", epochs=1, batch=20,
        teachers=["base", "generalist"], distillation=Distillation(0.8, consistent=True),
    )
    folder = tmp_path / "tiny"
    shutil.copytree(made.run.folder, folder)
    for predictions in folder.glob("*.fit.npz"):
        predictions.unlink()
    run = replace(made.run, folder=folder, experiment=replace(experiment, stages=[*experiment.stages, pupil]))
    asked = []

    def batch_loss(*arguments: Any) -> Any:
        asked.append(arguments)
        return loss.batch_loss(*arguments)

    monkeypatch.setattr(engine, "batch_loss", batch_loss)
    perform(run, pupil)

    assert asked
    assert not list(folder.glob("*.fit.npz"))
    for *_, teacher in asked:
        assert isinstance(teacher, ConsistentTeacher)
        for network, name in zip(teacher.networks, ("base", "generalist"), strict=True):
            assert not network.training
            for key, value in load_file(folder / f"{name}.safetensors").items():
                assert torch.equal(network.state_dict()[key], value), "a teacher does not learn"


def test_the_soup_of_a_stage_on_all_pictures_takes_in_every_group(made: Made, tmp_path: Path) -> None:
    experiment = made.run.experiment
    soup = Stage("soup", "base", "medium", "all", epochs=0, soup=Soup(["specialist"]))
    folder = tmp_path / "tiny"
    shutil.copytree(made.run.folder, folder)
    run = replace(made.run, folder=folder, experiment=replace(experiment, stages=[*experiment.stages, soup]))

    perform(run, soup)

    names = ["base", *(f"specialist-{i}" for i in (1, 2, 3))]
    weights = [load_file(folder / f"{name}.safetensors") for name in names]
    for name, mean in load_file(folder / "soup.safetensors").items():
        torch.testing.assert_close(mean, sum(other[name] for other in weights) / 4)
    assert len(run.figures("soup")["origin"]["soup's weights"]) == 3


def test_a_soup_is_the_mean_of_a_groups_own_weights_and_the_others(made: Made, tmp_path: Path) -> None:
    """Without an epoch nothing is trained."""
    experiment = made.run.experiment
    soup = Stage("soup", "specialist", "medium", "group", epochs=0, soup=Soup(["base", "widening"]))
    folder = tmp_path / "tiny"
    shutil.copytree(made.run.folder, folder)
    run = replace(made.run, folder=folder, experiment=replace(experiment, stages=[*experiment.stages, soup]))

    perform(run, soup)

    for i in (1, 2, 3):
        weights = [load_file(folder / f"{name}.safetensors") for name in (f"specialist-{i}", "base", f"widening-{i}", f"soup-{i}")]
        for name, mean in weights[-1].items():
            torch.testing.assert_close(mean, sum(other[name] for other in weights[:3]) / 3)
        assert run.figures(f"soup-{i}")["pictures"] == 0
    perform(run, soup)
    (folder / "base.safetensors").write_bytes((folder / "widening-1.safetensors").read_bytes())
    with pytest.raises(ValueError, match="soup-1.json was made with another soup's weights: remove it"):
        perform(run, soup)
