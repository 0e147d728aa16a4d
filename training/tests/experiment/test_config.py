import re
from dataclasses import replace
from pathlib import Path

import pytest
from support import CONFIG, TRAINING, refuse

from ask_training.experiment.check import read_experiment
from ask_training.experiment.config import Architecture, Cascade, Experiment, Groups, Operating
from ask_training.experiment.exports import Whole
from ask_training.experiment.stage import Distillation, Outsiders, PatchDropout, Stage, flatten, in_force


def test_an_experiment_is_read_whole() -> None:
    common = {"batch": 20, "layer_decay": 0.9, "weight_decay": 0.05}
    assert read_experiment(CONFIG) == Experiment(
        name="tiny",
        seed=3,
        validation=0.25,
        side=32,
        split_seed=7,
        architectures={
            "small": Architecture(size=32, width=48, depth=2, heads=3, drop_path=0.1),
            "medium": Architecture(size=48, width=48, depth=2, heads=3, drop_path=0.0),
        },
        stages=[
            Stage("generalist", "weights", "small", "all", epochs=3, lr=2e-3, **common),
            Stage("base", "generalist", "medium", "all", epochs=2, lr=1e-3, patch_dropout=PatchDropout(0.6), **common),
            Stage(
                "widening",
                "base",
                "medium",
                "group",
                epochs=2,
                lr=1e-3,
                patch_dropout=PatchDropout(0.8),
                outsiders=Outsiders([1.0, 0.5]),
                teachers=["generalist", "base"],
                distillation=Distillation(0.5),
                **common,
            ),
            Stage(
                "specialist",
                "widening",
                "medium",
                "group",
                epochs=2,
                lr=5e-4,
                outsiders=Outsiders([0.3], hardest=True),
                freeze=[0, 1],
                teachers=["base"],
                distillation=Distillation(0.3),
                **common,
            ),
        ],
        groups=Groups(of="generalist", count=3, smallest=2, largest=2, by="confusion", overlap=0.0),
        exports=[
            Whole("generalist", "generalist", attention=True, processor="cpu"),
            Whole("expert", "specialist", second_look=32),
        ],
        strategies={"ask": Cascade(generalist="generalist", experts="expert")},
        checkpoint="base",
        operating=Operating(escalation=0.5, k=[1, 2]),
    )


def test_what_a_stage_leaves_out_is_plain_training() -> None:
    plain = flatten(read_experiment(CONFIG).stage("generalist"))
    assert (plain["keep"], plain["outsiders"], plain["hardest"], plain["freeze"]) == (1.0, [0.0], False, [0])
    assert (plain["teachers"], plain["distil"], plain["temperature"], plain["watch"]) == ([], 0.0, 2.0, False)
    assert (plain["mix"], plain["soup"]) == (0.0, [])


def test_the_last_entry_of_a_schedule_stays_in_force() -> None:
    assert [in_force([1.0, 0.5], epoch) for epoch in range(4)] == [1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("path", sorted((TRAINING / "configs").rglob("*.toml")), ids=lambda path: path.stem)
def test_committed_experiments_are_valid_carry_their_files_name_and_say_how_to_run_them(path: Path) -> None:
    assert read_experiment(path).name == path.stem
    header = path.read_text().split("\n\n")[0].split("\nname")[0].split("\nextends")[0]
    assert "# Command: " in header
    if "see progressive.toml" not in header:
        assert re.search(r"(?s)# Takes: .*Reaches: ", header), "how long it takes, and the number it must reach"


FIELDS = {
    "missing": ("size = 32\n", "", "architectures: small: size is missing"),
    "unknown": ("seed = 3", "seed = 3\nsede = 4", "sede is unknown"),
    "unknown in a stage": ("batch = 20", "bacth = 20", "stages[0]: bacth is unknown"),
    "no table": ("[groups]", "[crowds]", "groups is missing, crowds is unknown"),
    "list for a table": (
        "[operating]",
        "[[operating]]",
        "operating: expected a table, got [{'escalation': 0.5, 'k': [1, 2]}]",
    ),
    "text for a whole number": ("seed = 3", 'seed = "3"', "seed: expected a whole number, got '3'"),
    "fraction for a whole number": (
        "epochs = 3",
        "epochs = 2.5",
        "stages[0]: epochs: expected a whole number, got 2.5",
    ),
    "truth for a whole number": ("count = 3", "count = true", "groups: count: expected a whole number, got True"),
    "text for a number": (
        "escalation = 0.5",
        'escalation = "0.5"',
        "operating: escalation: expected a number, got '0.5'",
    ),
    "truth for a number": (
        "{ keep = 0.6 }",
        "{ keep = true }",
        "stages[1]: patch_dropout: keep: expected a number, got True",
    ),
    "number for a list": ("k = [1, 2]", "k = 1", "operating: k: expected a list, got 1"),
    "fraction in a list": ("k = [1, 2]", "k = [1, 1.5]", "operating: k[1]: expected a whole number, got 1.5"),
    "number for a schedule": (
        "per_own = [0.3]",
        "per_own = 0.3",
        "stages[3]: outsiders: per_own: expected a list, got 0.3",
    ),
    "text in a schedule": (
        "freeze = [0, 1]",
        'freeze = [0, "1"]',
        "stages[3]: freeze[1]: expected a whole number, got '1'",
    ),
    "number for a truth": (
        "hardest = true",
        "hardest = 1",
        "stages[3]: outsiders: hardest: expected true or false, got 1",
    ),
    "number for a text": ('of = "generalist"', "of = 1", "groups: of: expected a text, got 1"),
}


@pytest.mark.parametrize(("old", "new", "message"), FIELDS.values(), ids=FIELDS)
def test_a_wrong_field_is_refused_by_its_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    refuse(tmp_path, old, new, message)


def test_a_text_for_the_stages_is_refused(tmp_path: Path) -> None:
    head, _, tail = CONFIG.read_text().partition("[architectures.small]")
    tables = [part for part in ("[architectures.small]" + tail).split("\n\n") if not part.startswith("[[stages]]")]
    path = tmp_path / "wrong.toml"
    path.write_text(head + 'stages = "generalist"\n' + "\n\n".join(tables))
    with pytest.raises(ValueError, match="stages: expected a list, got 'generalist'"):
        read_experiment(path)


def test_a_file_may_extend_another_and_change_parts_of_it(tmp_path: Path) -> None:
    """Tables are laid over one another, lists and plain values replaced."""
    (tmp_path / "base.toml").write_text(CONFIG.read_text())
    path = tmp_path / "own.toml"
    path.write_text('extends = "base.toml"\nname = "own"\n[architectures.small]\ndepth = 5\n[operating]\nk = [4]\n')

    base, own = read_experiment(CONFIG), read_experiment(path)

    assert own == replace(
        base, name="own", operating=replace(base.operating, k=[4]),
        architectures=base.architectures | {"small": replace(base.architectures["small"], depth=5)},
    )


def test_a_file_that_extends_a_missing_one_names_it(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('extends = "gone.toml"\n')
    with pytest.raises(FileNotFoundError, match="gone.toml"):
        read_experiment(path)


def test_text_that_is_no_toml_is_refused_with_the_files_name(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("name = ")
    with pytest.raises(ValueError, match=r"wrong.toml: Invalid value"):
        read_experiment(path)


@pytest.mark.parametrize(
    ("extends", "message"), [('"own.toml"', "own.toml extends itself"), ("5", "extends: expected a text, got 5")]
)
def test_a_file_that_cannot_extend_what_it_says_is_refused(tmp_path: Path, extends: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"extends = {extends}\n")
    with pytest.raises(ValueError, match=message):
        read_experiment(path)
