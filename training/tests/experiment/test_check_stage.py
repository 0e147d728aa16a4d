from pathlib import Path

import pytest
from support import refuse

WRONG = {
    "name taken": ('name = "base"', 'name = "generalist"', "stage 'generalist': the name generalist is taken"),
    "name of a beginning": ('name = "base"', 'name = "scratch"', "stage 'scratch': the name scratch is taken"),
    "architecture": (
        'architecture = "small"',
        'architecture = "big"',
        "stage 'generalist': architecture 'big' is unknown",
    ),
    "pictures": (
        'pictures = "all"',
        'pictures = "some"',
        "stage 'generalist': pictures must be 'all' or 'group', got 'some'",
    ),
    "start unknown": ('start = "base"', 'start = "bass"', "stage 'widening': 'bass' is not an earlier stage"),
    "start later": (
        'start = "generalist"',
        'start = "specialist"',
        "stage 'base': 'specialist' is not an earlier stage",
    ),
    "start itself": ('start = "generalist"', 'start = "base"', "stage 'base': 'base' is not an earlier stage"),
    "teacher unknown": (
        'teachers = ["base"]',
        'teachers = ["bass"]',
        "stage 'specialist': 'bass' is not an earlier stage",
    ),
    "teacher per group": (
        'teachers = ["base"]',
        'teachers = ["widening"]',
        "stage 'specialist': 'widening' is one model per group",
    ),
    "soup of a later stage": (
        'teachers = ["base"]',
        'teachers = ["base"]\nsoup = { others = ["specialist"] }',
        "stage 'specialist': 'specialist' is not an earlier stage",
    ),
    "soup of another shape": (
        'teachers = ["base"]',
        'teachers = ["base"]\nsoup = { others = ["generalist"] }',
        "stage 'specialist': 'generalist' has another architecture, a soup needs one and the same",
    ),
    "soup of weights": (
        'teachers = ["base"]',
        'teachers = ["base"]\nsoup = { others = ["weights"] }',
        "stage 'specialist': only earlier stages can teach or go into a soup",
    ),
    "teacher untrained": (
        'teachers = ["base"]',
        'teachers = ["weights"]',
        "stage 'specialist': only earlier stages can teach or go into a soup",
    ),
    "all from a group": (
        'start = "widening"\narchitecture = "medium"\npictures = "group"',
        'start = "widening"\narchitecture = "medium"\npictures = "all"',
        "stage 'specialist': 'widening' is one model per group",
    ),
    "hardest alone": (
        'teachers = ["base"]\ndistillation = { share = 0.3 }\n',
        "",
        "stage 'specialist': hardest needs teachers, they say what is hard",
    ),
    "distillation alone": ('teachers = ["generalist", "base"]\n', "", "stage 'widening': distillation needs teachers"),
    "teachers alone": (
        "distillation = { share = 0.5 }\n",
        "",
        "stage 'widening': teachers need a distillation or hardest outsiders, or they teach nothing",
    ),
    "no outsiders": (
        "per_own = [0.3]",
        "per_own = []",
        "stage 'specialist': outsiders: per_own needs numbers from 0, got []",
    ),
    "no freeze": (
        "freeze = [0, 1]",
        "freeze = []",
        "stage 'specialist': freeze needs whole numbers from 0, got []",
    ),
    "no epochs": ("epochs = 3", "epochs = 0", "stage 'generalist': epochs and batch must be at least 1"),
    "negative outsiders": (
        "per_own = [0.3]",
        "per_own = [0.3, -0.5]",
        "stage 'specialist': outsiders: per_own needs numbers from 0, got [0.3, -0.5]",
    ),
    "nothing kept": (
        "keep = 0.6",
        "keep = 0",
        "stage 'base': patch_dropout: keep must lie above 0 and be at most 1, got 0.0",
    ),
    "too much distilled": (
        "share = 0.5",
        "share = 2",
        "stage 'widening': distillation: share must lie above 0 and be at most 1, got 2.0",
    ),
    "too cold": (
        "share = 0.5",
        "share = 0.5, temperature = 0",
        "stage 'widening': distillation: temperature must be above 0, got 0.0",
    ),
    "too much mixed": (
        "share = 0.5 }",
        "share = 0.5 }\nmixing = { share = 1.5 }",
        "stage 'widening': mixing: share must lie between 0 and 1, got 1.5",
    ),
    "soup of nothing": (
        "share = 0.5 }",
        "share = 0.5 }\nsoup = { others = [] }",
        "stage 'widening': soup: others must name a stage",
    ),
    "no batch": ("batch = 20", "batch = 0", "stage 'generalist': epochs and batch must be at least 1"),
    "name of a command": ('name = "base"', 'name = "export"', "stage 'export': the name export is taken"),
    "name of a result": (
        'name = "specialist"',
        'name = "widening-1"',
        "stage 'widening-1': the name widening-1 is taken",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), WRONG.values(), ids=WRONG)
def test_a_stage_that_cannot_be_is_refused_by_its_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    refuse(tmp_path, old, new, message)


FORMER = {
    "distil": (
        "distillation = { share = 0.5 }",
        "distil = 0.5",
        "distil is no longer known, write distillation = { share = … }",
    ),
    "temperature": (
        "distillation = { share = 0.5 }",
        "temperature = 3.0",
        "temperature is no longer known, write distillation = { share = …, temperature = … }",
    ),
    "watch": (
        "distillation = { share = 0.5 }",
        "watch = true",
        "watch is no longer known, write distillation = { share = …, consistent = true }",
    ),
    "mix": ("distillation = { share = 0.5 }", "mix = 0.5", "mix is no longer known, write mixing = { share = … }"),
    "keep": (
        "patch_dropout = { keep = 0.8 }",
        "keep = 0.8",
        "keep is no longer known, write patch_dropout = { keep = … }",
    ),
    "hardest": (
        "outsiders = { per_own = [1.0, 0.5] }",
        "hardest = true",
        "hardest is no longer known, write outsiders = { per_own = […], hardest = true }",
    ),
    "outsiders": (
        "outsiders = { per_own = [1.0, 0.5] }",
        "outsiders = [1.0, 0.5]",
        "outsiders: expected a table such as { per_own = [0.5] }, got [1.0, 0.5]",
    ),
    "soup": (
        "distillation = { share = 0.5 }",
        'soup = ["base"]',
        """soup: expected a table such as { others = ["base"] }, got ['base']""",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), FORMER.values(), ids=FORMER)
def test_a_former_setting_is_refused_with_what_to_write_instead(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    refuse(tmp_path, old, new, f"stages[2]: {message}")
