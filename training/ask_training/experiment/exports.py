"""What is exported: which model comes from which stage, as what kind of graph. A further kind is a class here, and a
graph in ``export/graphs.py``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Export:
    model: str  # its id; the ids are MODEL-1, MODEL-2, … where there is one per group
    stage: str
    per_group: bool = False  # one model per group although the stage has one network; implied for a stage per group


@dataclass(frozen=True)
class Whole(Export):
    """Pixels in, logits out."""

    kind: str = "whole"
    attention: bool = False  # a second output: the last block's attention from the class token to the patches
    second_look: int = 0  # the logits are the mean over the picture and its mirror image at this size
    processor: str = "any"  # or "cpu": products fused with their bias, which other processors have no operator for


@dataclass(frozen=True)
class Blocks(Export):
    """Blocks from ``start`` to before ``stop``. Its input is pixels if it starts at the first block, tokens otherwise;
    its output is logits if it ends with the last, tokens otherwise."""

    kind: str = "blocks"
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class Tokens(Export):
    """Pixels and the places of some patches in, logits out. No block computes anything of the other patches."""

    kind: str = "tokens"


AnyExport = Whole | Blocks | Tokens
