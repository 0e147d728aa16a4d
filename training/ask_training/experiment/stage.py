"""One step of training as data, and the ways of training that it combines. Each has one job, and its code in
``train/``."""

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Distillation:
    """The teachers' mean log-probabilities are part of the loss (Hinton et al., arXiv:1503.02531)."""

    share: float  # of the loss
    temperature: float = 2.0
    consistent: bool = False  # the teachers see every view of the student (arXiv:2106.05237), not the picture once

    example: ClassVar[str] = "{ share = 0.5 }"


@dataclass(frozen=True)
class Mixing:
    """Some steps are on mixed pictures (CutMix, arXiv:1905.04899, and mixup, arXiv:1710.09412), for long training."""

    share: float  # of the steps

    example: ClassVar[str] = "{ share = 0.5 }"


@dataclass(frozen=True)
class PatchDropout:
    """A training step sees some of the patches (arXiv:2208.07220)."""

    keep: float  # share of the patches

    example: ClassVar[str] = "{ keep = 0.5 }"


@dataclass(frozen=True)
class Outsiders:
    """A stage per group sees pictures of other classes, too."""

    per_own: list[float]  # as many as of the group times this, epoch by epoch; the last entry stays in force
    hardest: bool = False  # those that the teachers take most for the group's; otherwise drawn at random

    example: ClassVar[str] = "{ per_own = [0.5] }"


@dataclass(frozen=True)
class Soup:
    """The result is the mean of its own weights and those of other stages (model soups, arXiv:2203.05482). A
    specialist halfway to its base keeps much of what either knows (WiSE-FT, arXiv:2109.01903). A stage on all pictures
    takes in the networks of every group."""

    others: list[str]

    example: ClassVar[str] = '{ others = ["base"] }'


@dataclass(frozen=True)
class Stage:
    name: str
    start: str  # "weights" for the checkpoint given on the command line, "scratch", or the stage to go on from
    architecture: str
    pictures: str  # "all" pictures, or those of one "group" at a time: a model per expert
    epochs: int  # each sees every picture once, but for a rest of less than half a batch; 0 for a soup alone
    batch: int = 64
    lr: float = 1e-4  # peak learning rate of the head; warm-up, then cosine to zero
    layer_decay: float = 0.85  # factor on the learning rate per block towards the input
    weight_decay: float = 0.05
    freeze: list[int] = field(default_factory=lambda: [0])  # blocks from the input that are not trained, epoch by epoch
    teachers: list[str] = field(default_factory=list)  # stages that distil, or say which outsiders are hard
    distillation: Distillation | None = None
    mixing: Mixing | None = None
    patch_dropout: PatchDropout | None = None
    outsiders: Outsiders | None = None
    soup: Soup | None = None

    renamed: ClassVar[dict[str, str]] = {
        "distil": "distillation = { share = … }",
        "temperature": "distillation = { share = …, temperature = … }",
        "watch": "distillation = { share = …, consistent = true }",
        "mix": "mixing = { share = … }",
        "keep": "patch_dropout = { keep = … }",
        "hardest": "outsiders = { per_own = […], hardest = true }",
    }

    @property
    def parents(self) -> list[str]:
        """The stages, or beginnings, that this one's result depends on."""
        return [self.start, *self.teachers, *(self.soup.others if self.soup else [])]


def in_force(schedule: list[Any], epoch: int) -> Any:
    """The entry of a schedule that holds in an epoch."""
    return schedule[min(epoch, len(schedule) - 1)]


def flatten(stage: Stage) -> dict[str, Any]:
    """The stage as results record it. The words are those of the first version, whose results are thereby
    recognised."""
    distillation, outsiders = stage.distillation or Distillation(0.0), stage.outsiders or Outsiders([0.0])
    return {
        "name": stage.name, "start": stage.start, "architecture": stage.architecture, "pictures": stage.pictures,
        "epochs": stage.epochs, "batch": stage.batch, "lr": stage.lr, "layer_decay": stage.layer_decay,
        "weight_decay": stage.weight_decay,
        "keep": stage.patch_dropout.keep if stage.patch_dropout else 1.0,
        "mix": stage.mixing.share if stage.mixing else 0.0,
        "outsiders": outsiders.per_own, "hardest": outsiders.hardest,
        "freeze": stage.freeze, "teachers": stage.teachers,
        "distil": distillation.share, "temperature": distillation.temperature, "watch": distillation.consistent,
        "soup": stage.soup.others if stage.soup else [],
    }


def record(stage: Stage) -> str:
    """The same in a line, as checkpoints hold it."""
    return f"Stage({', '.join(f'{name}={value!r}' for name, value in flatten(stage).items())})"
