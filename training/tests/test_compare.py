import json
from pathlib import Path

import pytest
from support import CONFIG

from ask_training.compare import main

VARIANT = 'extends = "tiny.toml"\nname = "{name}"\nfamily = "family"\n'


@pytest.fixture
def arguments(tmp_path: Path, data: Path, weights: Path) -> list[str]:
    (tmp_path / "tiny.toml").write_text(CONFIG.read_text())
    (tmp_path / "whole.toml").write_text(VARIANT.format(name="whole"))
    (tmp_path / "base-only.toml").write_text(VARIANT.format(name="base-only") + '[bundle]\nexperts = "base"\n')
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
    assert runs["whole"][0]["pictures"] > runs["base-only"][0]["pictures"]

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
    with pytest.raises(SystemExit, match=r"generalist.json was made with another lr: remove it, or give the stage another"):
        main([arguments[1], *arguments[2:]])
