"""What must hold of a stage, beyond types: ranges, and names of earlier stages."""

import re

from .config import Architecture, Experiment
from .stage import Stage

BEGINNINGS = ("weights", "scratch")
TAKEN = ("all", "export", "bundle", "groups", "settings")  # commands, and files of the run folder
NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
Rules = list[tuple[bool, str]]  # whether a rule holds, and the message where it does not


def stage_rules(experiment: Experiment, stage: Stage, known: set[str]) -> Rules:
    taken = known.union(TAKEN).intersection([stage.name, *experiment.results(stage)])
    return [
        (bool(NAME.fullmatch(stage.name)), "a name is lower-case letters, digits, - and _"),
        (not taken, f"the name {', '.join(sorted(taken))} is taken"),
        (stage.architecture in experiment.architectures, f"architecture {stage.architecture!r} is unknown"),
        (
            stage.start != "scratch" or _is_whole(experiment.architectures.get(stage.architecture)),
            f"architecture {stage.architecture!r} needs width and depth: there is no checkpoint to take them from",
        ),
        (stage.pictures in ("all", "group"), f"pictures must be 'all' or 'group', got {stage.pictures!r}"),
        *_reference_rules(experiment, stage, known),
        (stage.epochs >= (0 if stage.soup else 1) and stage.batch >= 1, "epochs and batch must be at least 1"),
        (stage.lr > 0 and stage.weight_decay >= 0, "lr must be above 0 and weight_decay at least 0"),
        (0 <= stage.layer_decay <= 1, f"layer_decay must lie between 0 and 1, got {stage.layer_decay}"),
        (bool(stage.freeze) and min(stage.freeze) >= 0, f"freeze needs whole numbers from 0, got {stage.freeze}"),
        *_way_rules(stage),
    ]


def _reference_rules(experiment: Experiment, stage: Stage, known: set[str]) -> Rules:
    stages = {other.name: other for other in experiment.stages}
    per_group = {name for name, other in stages.items() if other.pictures == "group"}
    soup = stage.soup.others if stage.soup else []
    unknown = [
        name for name in dict.fromkeys(stage.parents)
        if name not in BEGINNINGS and (name not in known or name not in stages)
    ]
    one_of_many = stage.teachers + ([stage.start] if stage.pictures == "all" else [])
    split = [name for name in dict.fromkeys(one_of_many) if name in per_group]
    other_shape = [
        name for name in soup if name in known & stages.keys() and stages[name].architecture != stage.architecture
    ]
    return [
        (not unknown, f"{', '.join(map(repr, unknown))} is not an earlier stage"),
        (not split, f"{', '.join(map(repr, split))} is one model per group"),
        (not set(stage.teachers + soup) & set(BEGINNINGS), "only earlier stages can teach or go into a soup"),
        (
            not other_shape,
            f"{', '.join(map(repr, other_shape))} has another architecture, a soup needs one and the same",
        ),
    ]


def _way_rules(stage: Stage) -> Rules:
    hardest = stage.outsiders is not None and stage.outsiders.hardest
    rules = [
        (bool(stage.teachers) or not hardest, "hardest needs teachers, they say what is hard"),
        (bool(stage.teachers) or not stage.distillation, "distillation needs teachers"),
        (
            bool(stage.distillation) or hardest or not stage.teachers,
            "teachers need a distillation or hardest outsiders, or they teach nothing",
        ),
    ]
    if way := stage.distillation:
        rules += [
            (0 < way.share <= 1, f"distillation: share must lie above 0 and be at most 1, got {way.share}"),
            (way.temperature > 0, f"distillation: temperature must be above 0, got {way.temperature}"),
        ]
    if way := stage.mixing:
        rules.append((0 <= way.share <= 1, f"mixing: share must lie between 0 and 1, got {way.share}"))
    if way := stage.patch_dropout:
        rules.append((0 < way.keep <= 1, f"patch_dropout: keep must lie above 0 and be at most 1, got {way.keep}"))
    if way := stage.outsiders:
        fine = bool(way.per_own) and min(way.per_own) >= 0
        rules.append((fine, f"outsiders: per_own needs numbers from 0, got {way.per_own}"))
    if way := stage.soup:
        rules.append((bool(way.others), "soup: others must name a stage"))
    return rules


def _is_whole(architecture: Architecture | None) -> bool:
    return architecture is None or None not in (architecture.width, architecture.depth)
