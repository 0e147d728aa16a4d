import re
from dataclasses import replace
from pathlib import Path

import pytest
from support import CONFIG, TRAINING

from ask_training.experiment.check import read_experiment
from ask_training.experiment.config import Architecture, Cascade, Experiment, Groups, Operating, Stage
from ask_training.experiment.exports import Whole


def test_an_experiment_is_read_whole() -> None:
    common = {"batch": 20, "layer_decay": 0.9, "weight_decay": 0.05}
    assert read_experiment(CONFIG) == Experiment(
        name="tiny", seed=3, validation=0.25, side=32, split_seed=7,
        architectures={
            "small": Architecture(size=32, width=48, depth=2, heads=3, drop_path=0.1),
            "medium": Architecture(size=48, width=48, depth=2, heads=3, drop_path=0.0),
        },
        stages=[
            Stage("generalist", "weights", "small", "all", epochs=3, lr=2e-3, **common),
            Stage("base", "generalist", "medium", "all", epochs=2, lr=1e-3, keep=0.6, **common),
            Stage(
                "widening", "base", "medium", "group", epochs=2, lr=1e-3, keep=0.8, outsiders=[1.0, 0.5],
                teachers=["generalist", "base"], distil=0.5, **common,
            ),
            Stage(
                "specialist", "widening", "medium", "group", epochs=2, lr=5e-4, outsiders=[0.3], hardest=True,
                freeze=[0, 1], teachers=["base"], distil=0.3, **common,
            ),
        ],
        groups=Groups(of="generalist", count=3, smallest=2, largest=2, by="confusion", overlap=0.0),
        exports=[
            Whole("generalist", "generalist", attention=True, processor="cpu"), Whole("expert", "specialist", second_look=32),
        ],
        strategies={"ask": Cascade(generalist="generalist", experts="expert")}, checkpoint="base",
        operating=Operating(escalation=0.5, k=[1, 2]),
    )


def test_what_a_stage_leaves_out_is_plain_training() -> None:
    plain = read_experiment(CONFIG).stage("generalist")
    assert (plain.keep, plain.outsiders, plain.hardest, plain.freeze) == (1.0, [0.0], False, [0])
    assert (plain.teachers, plain.distil, plain.temperature) == ([], 0.0, 2.0)


def test_the_last_entry_of_a_schedule_stays_in_force() -> None:
    stage = read_experiment(CONFIG).stage("widening")
    assert [stage.at(stage.outsiders, epoch) for epoch in range(4)] == [1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("path", sorted((TRAINING / "configs").rglob("*.toml")), ids=lambda path: path.stem)
def test_committed_experiments_are_valid_carry_their_files_name_and_say_how_to_run_them(path: Path) -> None:
    assert read_experiment(path).name == path.stem
    header = path.read_text().split("\n\n")[0].split("\nname")[0].split("\nextends")[0]
    assert "# Command: " in header
    if "see progressive.toml" not in header:
        assert re.search(r"(?s)# Takes: .*Reaches: ", header), "how long it takes, and the number it must reach"


def refuse(folder: Path, text: str, message: str) -> None:
    path = folder / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ValueError) as raised:
        read_experiment(path)
    assert str(raised.value) == f"{path}: {message}"


def changed(old: str, new: str) -> str:
    text = CONFIG.read_text() + ("\n[architectures.bare]\nsize = 32\n" if '"bare"' in new else "")
    assert old in text
    return text.replace(old, new, 1)


FIELDS = {
    "missing": ("size = 32\n", "", "architectures: small: size is missing"),
    "unknown": ("seed = 3", "seed = 3\nsede = 4", "sede is unknown"),
    "unknown in a stage": ("batch = 20", "bacth = 20", "stages[0]: bacth is unknown"),
    "no table": ("[groups]", "[crowds]", "groups is missing, crowds is unknown"),
    "list for a table": ("[operating]", "[[operating]]", "operating: expected a table, got [{'escalation': 0.5, 'k': [1, 2]}]"),
    "text for a whole number": ("seed = 3", 'seed = "3"', "seed: expected a whole number, got '3'"),
    "fraction for a whole number": ("epochs = 3", "epochs = 2.5", "stages[0]: epochs: expected a whole number, got 2.5"),
    "truth for a whole number": ("count = 3", "count = true", "groups: count: expected a whole number, got True"),
    "text for a number": ("escalation = 0.5", 'escalation = "0.5"', "operating: escalation: expected a number, got '0.5'"),
    "truth for a number": ("keep = 0.6", "keep = true", "stages[1]: keep: expected a number, got True"),
    "number for a list": ("k = [1, 2]", "k = 1", "operating: k: expected a list, got 1"),
    "fraction in a list": ("k = [1, 2]", "k = [1, 1.5]", "operating: k[1]: expected a whole number, got 1.5"),
    "number for a schedule": ("outsiders = [0.3]", "outsiders = 0.3", "stages[3]: outsiders: expected a list, got 0.3"),
    "text in a schedule": ("freeze = [0, 1]", 'freeze = [0, "1"]', "stages[3]: freeze[1]: expected a whole number, got '1'"),
    "number for a truth": ("hardest = true", "hardest = 1", "stages[3]: hardest: expected true or false, got 1"),
    "number for a text": ('of = "generalist"', "of = 1", "groups: of: expected a text, got 1"),
}


@pytest.mark.parametrize(("old", "new", "message"), FIELDS.values(), ids=FIELDS)
def test_a_wrong_field_is_refused_by_its_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    refuse(tmp_path, changed(old, new), message)


def test_a_text_for_the_stages_is_refused(tmp_path: Path) -> None:
    head, _, tail = CONFIG.read_text().partition("[architectures.small]")
    tables = [part for part in ("[architectures.small]" + tail).split("\n\n") if not part.startswith("[[stages]]")]
    refuse(tmp_path, head + 'stages = "generalist"\n' + "\n\n".join(tables), "stages: expected a list, got 'generalist'")


REFERENCES = {
    "name taken": ('name = "base"', 'name = "generalist"', "stage 'generalist': the name generalist is taken"),
    "name of a beginning": ('name = "base"', 'name = "scratch"', "stage 'scratch': the name scratch is taken"),
    "architecture": ('architecture = "small"', 'architecture = "big"', "stage 'generalist': architecture 'big' is unknown"),
    "pictures": ('pictures = "all"', 'pictures = "some"', "stage 'generalist': pictures must be 'all' or 'group', got 'some'"),
    "start unknown": ('start = "base"', 'start = "bass"', "stage 'widening': 'bass' is not an earlier stage"),
    "start later": ('start = "generalist"', 'start = "specialist"', "stage 'base': 'specialist' is not an earlier stage"),
    "start itself": ('start = "generalist"', 'start = "base"', "stage 'base': 'base' is not an earlier stage"),
    "teacher unknown": ('teachers = ["base"]', 'teachers = ["bass"]', "stage 'specialist': 'bass' is not an earlier stage"),
    "teacher per group": (
        'teachers = ["base"]', 'teachers = ["widening"]', "stage 'specialist': 'widening' is one model per group"
    ),
    "soup of a later stage": (
        'teachers = ["base"]', 'teachers = ["base"]\nsoup = ["specialist"]', "stage 'specialist': 'specialist' is not an earlier stage"
    ),
    "soup of another shape": (
        'teachers = ["base"]', 'teachers = ["base"]\nsoup = ["generalist"]',
        "stage 'specialist': 'generalist' has another architecture, a soup needs one and the same",
    ),
    "soup of weights": (
        'teachers = ["base"]', 'teachers = ["base"]\nsoup = ["weights"]',
        "stage 'specialist': only earlier stages can teach or go into a soup",
    ),
    "teacher untrained": ('teachers = ["base"]', 'teachers = ["weights"]', "stage 'specialist': only earlier stages can teach or go into a soup"),
    "all from a group": (
        'start = "widening"\narchitecture = "medium"\npictures = "group"',
        'start = "widening"\narchitecture = "medium"\npictures = "all"',
        "stage 'specialist': 'widening' is one model per group",
    ),
    "groups of what they decide": (
        '[groups]\nof = "generalist"',
        '[[stages]]\nname = "mean"\nstart = "base"\narchitecture = "medium"\npictures = "all"\nepochs = 0\nsoup = ["widening"]\n[groups]\nof = "mean"',
        "groups: 'mean' is made from the groups that it is to decide",
    ),
    "hardest alone": (
        'hardest = true\nfreeze = [0, 1]\nteachers = ["base"]\ndistil = 0.3', "hardest = true",
        "stage 'specialist': hardest needs teachers, they say what is hard",
    ),
    "distil alone": (
        'teachers = ["generalist", "base"]\n', "", "stage 'widening': distil needs teachers"
    ),
    "watch alone": (
        "hardest = true\nfreeze = [0, 1]\nteachers = [\"base\"]\ndistil = 0.3", "hardest = true\nteachers = [\"base\"]\nwatch = true",
        "stage 'specialist': watch needs a distil above 0",
    ),
    "teachers alone": (
        "distil = 0.5\n", "", "stage 'widening': teachers need a distil above 0 or hardest, or they teach nothing"
    ),
    "no outsiders": (
        "outsiders = [0.3]", "outsiders = []",
        "stage 'specialist': outsiders needs numbers from 0, got []",
    ),
    "no freeze": (
        "freeze = [0, 1]", "freeze = []",
        "stage 'specialist': freeze needs whole numbers from 0, got []",
    ),
    "no epochs": (
        "epochs = 3", "epochs = 0", "stage 'generalist': epochs and batch must be at least 1"
    ),
    "negative outsiders": (
        "outsiders = [0.3]", "outsiders = [0.3, -0.5]", "stage 'specialist': outsiders needs numbers from 0, got [0.3, -0.5]"
    ),
    "nothing kept": ("keep = 0.6", "keep = 0", "stage 'base': keep must lie above 0 and be at most 1, got 0.0"),
    "too much distilled": ("distil = 0.5", "distil = 2", "stage 'widening': distil must lie between 0 and 1, got 2.0"),
    "size no multiple": ("size = 48", "size = 50\npatch = 16", "architecture 'medium': size must be a multiple of 16, got 50"),
    "width no multiple": ("heads = 3", "heads = 5", "architecture 'small': width must be a multiple of heads, got 48 and 5"),
    "shape from nothing": (
        'start = "weights"\narchitecture = "small"', 'start = "scratch"\narchitecture = "bare"',
        "stage 'generalist': architecture 'bare' needs width and depth: there is no checkpoint to take them from",
    ),
    "no depth": ("depth = 2", "depth = 0", "architecture 'small': depth must be at least 1, got 0"),
    "all paths dropped": (
        "drop_path = 0.1", "drop_path = 1.0", "architecture 'small': drop_path must be at least 0 and below 1, got 1.0"
    ),
    "no batch": ("batch = 20", "batch = 0", "stage 'generalist': epochs and batch must be at least 1"),
    "name of a command": ('name = "base"', 'name = "export"', "stage 'export': the name export is taken"),
    "name of a result": ('name = "specialist"', 'name = "widening-1"', "stage 'widening-1': the name widening-1 is taken"),
    "name of another folder": ('name = "tiny"', 'name = "../x"', "name must be lower-case letters, digits, - and _, got '../x'"),
    "too many escalated": ("escalation = 0.5", "escalation = 3", "operating: escalation must lie above 0 and be at most 1, got 3.0"),
    "no k": ("k = [1, 2]", "k = [0]", "operating: k needs whole numbers from 1, got [0]"),
    "no groups": ("count = 3", "count = 0", "groups: count must be at least 1, got 0"),
    "validation of all": ("validation = 0.25", "validation = 1.0", "validation must lie between 0 and 1, got 1.0"),
    "export of nothing": ('stage = "generalist"', 'stage = "general"', "exports[0]: there is no stage 'general'"),
    "export of weights": ('stage = "specialist"', 'stage = "weights"', "exports[1]: there is no stage 'weights'"),
    "export twice": (
        'model = "generalist"', 'model = "expert-2"', "exports[1]: the model 'expert' is exported twice",
    ),
    "export to another folder": (
        'model = "expert"', 'model = "../x"', "exports[1]: model must be lower-case letters, digits, - and _, got '../x'",
    ),
    "second look below nothing": ("second_look = 32", "second_look = -1", "exports[1]: second_look must be at least 0, got -1"),
    "attention of two looks": (
        "second_look = 32", "second_look = 32\nattention = true",
        "exports[1]: attention is of one look, second_look must be left out",
    ),
    "processor": ('processor = "cpu"', 'processor = "npu"', "exports[0]: processor must be 'any' or 'cpu', got 'npu'"),
    "no blocks": (
        "second_look = 32", 'kind = "blocks"\nstart = 2\nstop = 2', "exports[1]: blocks 2 to before 2 are none",
    ),
    "kind of export": (
        "second_look = 32", 'kind = "half"', "exports[1]: kind must be 'whole', 'blocks' or 'tokens', got 'half'",
    ),
    "setting of another kind": (
        "second_look = 32", 'kind = "tokens"\nsecond_look = 32', "exports[1]: second_look is unknown",
    ),
    "generalist of nothing": (
        'generalist = "generalist"', 'generalist = "general"', "strategies: ask: generalist: no model 'general' is exported",
    ),
    "generalist per group": (
        'generalist = "generalist"', 'generalist = "expert"', "strategies: ask: generalist: 'expert' is one model per group",
    ),
    "one expert": (
        'experts = "expert"', 'experts = "generalist"',
        "strategies: ask: experts: 'generalist' is one model for all, say per_group = true",
    ),
    "an expert in parts": (
        "second_look = 32", 'kind = "blocks"\nstart = 1', "strategies: ask: experts: 'expert' is not a whole graph",
    ),
    "kind of strategy": (
        'experts = "expert"', 'experts = "expert"\nkind = "vote"', "strategies: ask: kind must be 'cascade', got 'vote'",
    ),
    "two strategies": (
        "[operating]", '[strategies.other]\ngeneralist = "generalist"\nexperts = "expert"\n[operating]',
        "strategies: expected one, got 2",
    ),
    "what was the bundle": (
        "[operating]", '[bundle]\ngeneralist = "generalist"\n[operating]',
        (
            "bundle is no longer known, write [[exports]] with model and stage of each network, [strategies.NAME] with "
            "generalist and experts, and checkpoint before the first table"
        ),
    ),
    "checkpoint of nothing": ('checkpoint = "base"', 'checkpoint = "bass"', "checkpoint: there is no stage 'bass'"),
    "checkpoint per group": ('checkpoint = "base"', 'checkpoint = "widening"', "checkpoint: 'widening' is one model per group"),
    "groups of nothing": ('of = "generalist"', 'of = "nobody"', "groups: of must name a stage on all pictures, got 'nobody'"),
    "groups of groups": ('of = "generalist"', 'of = "widening"', "groups: of must name a stage on all pictures, got 'widening'"),
    "groups of weights": ('of = "generalist"', 'of = "weights"', "groups: of must name a stage on all pictures, got 'weights'"),
    "grouping rule": (
        "count = 3", 'by = "size"\ncount = 3',
        "groups: by must be confusion, overlap, superclass or random, got 'size'",
    ),
    "head": ('experts = "expert"', 'experts = "expert"\nhead = "half"', "strategies: ask: head must be 'full' or 'group', got 'half'"),
    "one-class groups": (
        "smallest = 2", "smallest = 1",
        "groups: smallest must be at least 2: an expert of one class has nothing to tell apart",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_that_leads_nowhere_is_refused_where_it_stands(tmp_path: Path, old: str, new: str, message: str) -> None:
    refuse(tmp_path, changed(old, new), message)


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


@pytest.mark.parametrize(("extends", "message"), [('"own.toml"', "own.toml extends itself"), ("5", "extends: expected a text, got 5")])
def test_a_file_that_cannot_extend_what_it_says_is_refused(tmp_path: Path, extends: str, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(f"extends = {extends}\n")
    with pytest.raises(ValueError, match=message):
        read_experiment(path)
