from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support import STAGE, lively_model, noise
from torch import Tensor

from ask_training.data.pictures import Pictures
from ask_training.models.vit import VisionTransformer
from ask_training.train.engine import freeze, train_stage

EARLY = {"patch_embed.proj.weight", "patch_embed.proj.bias", "cls_token", "pos_embed"}


def weights(model: VisionTransformer) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def parts(names: set[str]) -> set[str]:
    """Of a model of three blocks: the embeddings, blocks and end that names are of."""
    return {"embeddings" if name in EARLY else name.split(".")[1] if name.startswith("blocks") else "end" for name in names}


class Snapshots(Pictures):
    """Copies the model's weights as each step begins."""

    def follow(self, model: VisionTransformer) -> "Snapshots":
        self.__dict__.update(model=model, taken=[])
        return self

    def at(self, indices: Tensor) -> Pictures:
        self.taken.append(weights(self.model))
        return super().at(indices)


def moved_by_epoch(schedule: list[int], epochs: int, folder: Path) -> list[set[str]]:
    """Names of the parameters that each epoch of three steps moved."""
    model = lively_model(depth=3)
    pictures = Snapshots(noise(60), torch.arange(60) % 6).follow(model)
    stage = replace(STAGE, epochs=epochs, freeze=schedule, patch_dropout=None)
    train_stage(model, pictures, [torch.arange(60)] * epochs, stage, 1, folder / "checkpoint", "stage")
    bounds = [*pictures.taken[::3], weights(model)]
    return [
        {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
        for before, after in pairwise(bounds)
    ]


def test_frozen_blocks_do_not_move_in_their_epochs_and_the_others_do(tmp_path: Path) -> None:
    """Thawed and frozen again: what the optimiser remembers of the epoch between must not move them either."""
    every = {name for name, _ in lively_model(depth=3).named_parameters()}
    moved = moved_by_epoch([2, 0, 1], 4, tmp_path)
    assert parts(every - moved[0]) == {"embeddings", "0", "1"}
    assert parts(moved[0]) == {"2", "end"}
    assert moved[1] == every
    for epoch in (2, 3):  # the last entry stays in force
        assert parts(every - moved[epoch]) == {"embeddings", "0"}
        assert parts(moved[epoch]) == {"1", "2", "end"}


@pytest.mark.parametrize(("blocks", "trained"), [
    (0, {"embeddings", "0", "1", "2", "end"}), (1, {"1", "2", "end"}), (3, {"end"}), (9, {"end"}),
])
def test_freezing_counts_blocks_from_the_input_and_embeddings_with_the_first(blocks: int, trained: set[str]) -> None:
    model = lively_model(depth=3)
    freeze(model, 2)
    freeze(model, blocks)
    assert parts({name for name, parameter in model.named_parameters() if parameter.requires_grad}) == trained


def test_freezing_a_first_block_leaves_the_eleventh() -> None:
    model = VisionTransformer(16, 2, width=6, depth=12, heads=1)
    freeze(model, 2)
    trained = {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.requires_grad and "blocks" in name}
    assert trained == {str(block) for block in range(2, 12)}
