from pathlib import Path

import pytest
from support import CONFIG, TRAINING

from ask_training.config import Architecture, Experiment, Groups, Operating, Stage, read_experiment


def test_an_experiment_is_read_whole() -> None:
    assert read_experiment(CONFIG) == Experiment(
        name="tiny", seed=3, validation=60, mirror_experts=True,
        generalist=Architecture(size=32, width=48, depth=2, heads=3, drop_path=0.1),
        generalist_stage=Stage(3.0, batch=20, lr=2e-3, layer_decay=0.9, weight_decay=0.05, keep=1.0, outsiders=0.0),
        expert=Architecture(size=48, width=48, depth=2, heads=3, drop_path=0.0),
        base_stage=Stage(2.0, batch=20, lr=1e-3, layer_decay=0.9, weight_decay=0.05, keep=0.6, outsiders=0.0),
        expert_stage=Stage(2.0, batch=20, lr=1e-3, layer_decay=0.9, weight_decay=0.05, keep=0.8, outsiders=0.5),
        groups=Groups(count=3, smallest=2, largest=2),
        operating=Operating(escalation=0.5, tolerance=0.0, k=[1, 2]),
    )


@pytest.mark.parametrize("path", sorted((TRAINING / "configs").glob("*.toml")), ids=lambda path: path.stem)
def test_committed_experiments_are_valid_and_carry_their_files_name(path: Path) -> None:
    assert read_experiment(path).name == path.stem


WRONG = {
    "missing": ("depth = 2\n", "", "generalist: depth is missing"),
    "unknown": ("seed = 3", "seed = 3\nsede = 4", "sede is unknown"),
    "both": ("batch = 20", "bacth = 20", "generalist_stage: batch is missing, bacth is unknown"),
    "no table": ("[groups]", "[crowds]", "groups is missing, crowds is unknown"),
    "list for a table": (
        "[groups]", "[[groups]]", "groups: expected a table, got [{'count': 3, 'smallest': 2, 'largest': 2}]"
    ),
    "text for a whole number": ("seed = 3", 'seed = "3"', "seed: expected a whole number, got '3'"),
    "fraction for a whole number": ("count = 3", "count = 2.5", "groups: count: expected a whole number, got 2.5"),
    "text for a number": ("escalation = 0.5", 'escalation = "0.5"', "operating: escalation: expected a number, got '0.5'"),
    "truth for a number": ("keep = 1.0", "keep = true", "generalist_stage: keep: expected a number, got True"),
    "number for a list": ("k = [1, 2]", "k = 1", "operating: k: expected a list of whole numbers, got 1"),
    "fractions in a list": ("k = [1, 2]", "k = [1, 1.5]", "operating: k: expected a list of whole numbers, got [1, 1.5]"),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_field_is_refused_by_its_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(CONFIG.read_text().replace(old, new, 1))
    with pytest.raises(ValueError) as raised:
        read_experiment(path)
    assert str(raised.value) == f"{path}: {message}"
