"""One experiment is one TOML file. What each of its fields means."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from .exports import AnyExport

PATCH = 16  # pixels a side, as in the checkpoints


@dataclass(frozen=True)
class Architecture:
    """What is left out comes from the checkpoint that training starts from, but for the heads: no tensor tells them, they
    are then 64 wide."""

    size: int  # pixels a side of the picture the network sees
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    drop_path: float = 0.0
    patch: int | None = None  # pixels a side; from scratch 16


@dataclass(frozen=True)
class Stage:
    """One named step of training. ``outsiders`` and ``freeze`` have an entry per epoch; the last one stays in force."""

    name: str
    start: str  # "weights" for the checkpoint given on the command line, "scratch", or the stage to go on from
    architecture: str
    pictures: str  # "all" pictures, or those of one "group" at a time: a model per expert
    epochs: int  # an epoch sees every picture of the pool once, but for a rest of less than half a batch; 0 for a soup alone
    batch: int = 64
    lr: float = 1e-4  # peak learning rate of the head; warm-up, then cosine to zero
    layer_decay: float = 0.85  # factor on the learning rate per block towards the input
    weight_decay: float = 0.05
    keep: float = 1.0  # share of patches a training step sees (PatchDropout)
    mix: float = 0.0  # share of steps on mixed pictures (CutMix and mixup), for long training
    outsiders: list[float] = field(default_factory=lambda: [0.0])  # pictures from outside, per picture of the group
    hardest: bool = False  # outsiders are those that the teachers take most for the group's; otherwise drawn at random
    freeze: list[int] = field(default_factory=lambda: [0])  # blocks that are not trained, counted from the input
    teachers: list[str] = field(default_factory=list)  # stages whose mean log-probabilities are distilled
    distil: float = 0.0  # share of the distillation in the loss
    temperature: float = 2.0  # of the distillation
    watch: bool = False  # the teachers see each view that the student sees (arXiv:2106.05237), not the plain picture once
    # stages whose weights the result is the mean of, together with its own (model soups, arXiv:2203.05482): a specialist
    # halfway to its base keeps much of what either knows (WiSE-FT, arXiv:2109.01903). A stage on all pictures takes in those
    # of every group
    soup: list[str] = field(default_factory=list)

    def at(self, schedule: list[Any], epoch: int) -> Any:
        """The entry of a schedule that is in force in an epoch."""
        return schedule[min(epoch, len(schedule) - 1)]


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

    renamed: ClassVar[dict[str, str]] = {
        "bundle": "[[exports]] with model and stage of each network, [strategies.NAME] with generalist and experts, and "
        "checkpoint before the first table",
    }

    @property
    def cascade(self) -> Cascade:
        [strategy] = self.strategies.values()  # as many as a manifest of schema version 1 holds
        return strategy

    def stage(self, name: str) -> Stage:
        return next(stage for stage in self.stages if stage.name == name)

    def per_group(self, export: AnyExport) -> bool:
        return export.per_group or self.stage(export.stage).pictures == "group"

    def ids(self, export: AnyExport) -> list[str]:
        """The models that an export gives."""
        if not self.per_group(export):
            return [export.model]
        return [f"{export.model}-{i + 1}" for i in range(self.groups.count)]

    def grouped(self, name: str) -> bool:
        """Whether the groups decide what a stage gives: it has a result per group, or is made from such results."""
        stages = [stage for stage in self.stages if stage.name == name]  # none for "weights" and "scratch"
        return any(
            stage.pictures == "group" or any(map(self.grouped, [stage.start, *stage.teachers, *stage.soup])) for stage in stages
        )
