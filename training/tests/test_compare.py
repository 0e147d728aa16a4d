import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import CONFIG, Made

from ask_training.compare import main
from ask_training.data.pictures import Pictures
from ask_training.report.measure import Predictions, answers, measure

VARIANT = 'extends = "tiny.toml"\nname = "{name}"\nfamily = "family"\n'
BASE_ONLY = """
[[exports]]
model = "generalist"
stage = "generalist"

[[exports]]
model = "expert"
stage = "base"
per_group = true
"""


@pytest.fixture
def arguments(tmp_path: Path, data: Path, weights: Path) -> list[str]:
    (tmp_path / "tiny.toml").write_text(CONFIG.read_text())
    (tmp_path / "whole.toml").write_text(VARIANT.format(name="whole"))
    (tmp_path / "base-only.toml").write_text(VARIANT.format(name="base-only") + BASE_ONLY)
    return [
        str(tmp_path / "whole.toml"), str(tmp_path / "base-only.toml"), "--seeds", "1", "2", "--data", str(data),
        "--weights", str(weights), "--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "results" / "c.json"),
    ]


def test_variants_share_what_they_have_in_common_and_are_measured_per_seed(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments)
    results = json.loads((tmp_path / "results" / "c.json").read_text())
    runs = {variant["name"]: variant["runs"] for variant in results["variants"]}
    assert [run["seed"] for run in runs["whole"]] == [run["seed"] for run in runs["base-only"]] == [1, 2]
    for results_of_one in runs.values():
        for run in results_of_one:
            assert all(0.2 < run[column] <= 1 for column in results["columns"])
            assert run["ownOnly"] >= run["own"] - 0.05
    assert runs["whole"][0]["generalist"] == runs["base-only"][0]["generalist"]
    whole, base = runs["whole"][0], runs["base-only"][0]
    assert whole["pictures"] > base["pictures"]
    assert whole["parameters"] == 3 * base["parameters"]

    folder = tmp_path / "runs" / "family" / "seed-1"
    assert (folder / "base.safetensors").exists()
    assert (folder / "whole" / "specialist-3.safetensors").exists()
    assert not (folder / "base-only" / "base.safetensors").exists()
    assert "base: done before" in capsys.readouterr().out


def test_a_result_of_other_settings_is_not_taken_for_this_experiments(
    tmp_path: Path, arguments: list[str]
) -> None:
    main([arguments[1], *arguments[2:]])
    tiny = tmp_path / "tiny.toml"
    tiny.write_text(tiny.read_text().replace("lr = 2e-3", "lr = 1e-3"))
    with pytest.raises(SystemExit, match=r"generalist.json was made with another lr: remove it, or give the stage or the run another"):
        main([arguments[1], *arguments[2:]])


def test_measured_on_test_pictures_nothing_is_fitted_on_them(made: Made) -> None:
    """Labels that are all wrong make every share wrong, and change nothing else."""
    validation = made.run.split[1]
    right = measure(made.run, validation)
    wrong = measure(made.run, Pictures(validation.pixels, (validation.labels + 1) % 6))
    assert right["own"] > 0.5
    assert sum(right[name] + wrong[name] for name in ("generalist", "always")) <= 2


def test_static_experts_are_merged_as_suits_them(made: Made) -> None:
    """Experts that know nothing but their group, and a generalist that knows the group and nothing within it."""
    group_head = replace(made.run, experiment=replace(
        made.run.experiment, strategies={"ask": replace(made.run.experiment.cascade, head="group")}))
    labels = torch.arange(6).repeat(100)
    groups, owners = [[0, 1], [2, 3], [4, 5]], torch.tensor([0, 0, 1, 1, 2, 2])
    noise = lambda seed: torch.randn(600, 6, generator=torch.Generator().manual_seed(seed))
    generalist = 4 * (owners[labels][:, None] == owners[None]) + 0.1 * noise(0)
    experts = [
        torch.where(torch.isin(labels, torch.tensor(group))[:, None], 5 * torch.eye(6)[labels], 9 * torch.eye(6)[group[0]]) + noise(i + 1)
        for i, group in enumerate(groups)
    ]
    said = Predictions([generalist, *experts], labels)
    held = torch.arange(600) % 2 == 1
    shares = {
        name: right.float().mean().item()
        for name, right in answers(group_head, groups, owners, said.at(~held), said.at(held))
    }
    assert shares["generalist"] < 0.6
    assert shares["own"] == shares["ownOnly"] > 0.95
    assert shares["always"] > 0.95
