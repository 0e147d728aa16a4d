"""One experiment is one TOML file. These are its fields."""

from dataclasses import dataclass, field
from typing import ClassVar

from .exports import AnyExport
from .stage import Stage

PATCH = 16  # pixels a side, as in the checkpoints


@dataclass(frozen=True)
class Architecture:
    """What is left out comes from the checkpoint that training starts from. No tensor tells the heads: left out, they
    are 64 wide."""

    size: int  # pixels a side of the picture the network sees
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    drop_path: float = 0.0
    patch: int | None = None  # pixels a side; from scratch 16


@dataclass(frozen=True)
class Groups:
    of: str  # the stage whose validation confusions say which classes belong together
    count: int
    smallest: int
    largest: int
    by: str = "confusion"  # or "overlap", "superclass", "random"
    overlap: float = 0.0  # classes that a group takes in besides its own, per class of its own, for "overlap"


@dataclass(frozen=True)
class Operating:
    escalation: float  # largest share of validation pictures that may be escalated
    k: list[int]  # candidates for the top-k of the routing score


@dataclass(frozen=True)
class Cascade:
    """A strategy: the generalist answers, and asks an expert where it is not sure. Both are exported models' ids."""

    generalist: str
    experts: str
    head: str = "full"  # or "group", for comparisons: an expert answers for its own classes only
    kind: str = "cascade"


@dataclass(frozen=True)
class Experiment:
    name: str
    seed: int  # of everything but the split
    validation: float  # share of each class's pictures that is kept from training
    architectures: dict[str, Architecture]
    stages: list[Stage]
    groups: Groups
    exports: list[AnyExport]
    strategies: dict[str, Cascade]  # by name
    operating: Operating
    checkpoint: str = ""  # the stage whose weights the bundle keeps in float16, for further training to start from
    side: int = 32  # pixels a side of a picture as the models take it, before they resize it
    split_seed: int = 7
    subset: float = 1.0  # share of each class's fit pictures that training uses: below 1 a cheap regime
    family: str = ""  # experiments of one family and seed share the stages that do not depend on their groups

    licences: dict[str, str] = field(default_factory=dict)  # terms of what the models are made from, by its name

    renamed: ClassVar[dict[str, str]] = {
        "bundle": "[[exports]] with model and stage of each network, [strategies.NAME] with generalist and experts, "
        "and checkpoint before the first table",
    }

    @property
    def cascade(self) -> Cascade:
        [strategy] = self.strategies.values()  # as many as training makes so far
        return strategy

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def results(self, stage: Stage) -> list[str]:
        """Names of the models that a stage trains: its own, or one per group."""
        if stage.pictures == "all":
            return [stage.name]
        return [f"{stage.name}-{i + 1}" for i in range(self.groups.count)]

    def per_group(self, export: AnyExport) -> bool:
        return export.per_group or self.stage(export.stage).pictures == "group"

    def ids(self, export: AnyExport) -> list[str]:
        """The models that an export gives."""
        if not self.per_group(export):
            return [export.model]
        return [f"{export.model}-{i + 1}" for i in range(self.groups.count)]

    def grouped(self, name: str) -> bool:
        """Whether a stage's results depend on the groups: there is one per group, or they are made from such
        results."""
        stages = [stage for stage in self.stages if stage.name == name]  # none for "weights" and "scratch"
        return any(stage.pictures == "group" or any(map(self.grouped, stage.parents)) for stage in stages)
