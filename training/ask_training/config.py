"""One experiment is one TOML file; unknown, missing or mistyped fields are an error that names them."""

import tomllib
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints


@dataclass(frozen=True)
class Architecture:
    size: int  # pixels a side of the picture the network sees
    width: int
    depth: int
    heads: int
    drop_path: float


@dataclass(frozen=True)
class Stage:
    epochs: float  # passes over as many pictures as the fit split (or the group's sampling pool) holds
    batch: int
    lr: float  # peak learning rate of the head; warm-up, then cosine to zero
    layer_decay: float  # factor on the learning rate per block towards the input
    weight_decay: float
    keep: float  # share of patches a training step sees (PatchDropout)
    outsiders: float  # pictures from outside the group, per picture of the group; unused for whole-set stages


@dataclass(frozen=True)
class Groups:
    count: int
    smallest: int
    largest: int


@dataclass(frozen=True)
class Operating:
    escalation: float  # largest share of validation pictures that may be escalated
    tolerance: float  # validation accuracy that may be given up for fewer escalations
    k: list[int]  # candidates for the top-k of the routing score


@dataclass(frozen=True)
class Experiment:
    name: str
    seed: int
    validation: int
    generalist: Architecture
    generalist_stage: Stage
    expert: Architecture
    mirror_experts: bool  # an exported expert averages the logits of the picture and its mirror image, at twice the cost
    base_stage: Stage
    expert_stage: Stage
    groups: Groups
    operating: Operating


EXPECTED = {int: "a whole number", float: "a number", str: "a text", list[int]: "a list of whole numbers"}


def read_experiment(path: Path) -> Experiment:
    return _parse(Experiment, tomllib.loads(path.read_text()), str(path))


def _parse(kind: type, value: Any, where: str) -> Any:
    if not _fits(kind, value):
        raise ValueError(f"{where}: expected {EXPECTED.get(kind, 'a table')}, got {value!r}")
    if not is_dataclass(kind):
        return float(value) if kind is float else value
    names = {field.name for field in fields(kind)}
    wrong = [f"{name} is missing" for name in sorted(names - value.keys())]
    wrong += [f"{name} is unknown" for name in sorted(value.keys() - names)]
    if wrong:
        raise ValueError(f"{where}: {', '.join(wrong)}")
    hints = get_type_hints(kind)
    return kind(**{name: _parse(hints[name], value[name], f"{where}: {name}") for name in names})


def _fits(kind: Any, value: Any) -> bool:
    if kind == list[int]:
        return isinstance(value, list) and all(type(item) is int for item in value)
    if kind is float:
        return type(value) in (int, float)
    return type(value) is (dict if is_dataclass(kind) else kind)
