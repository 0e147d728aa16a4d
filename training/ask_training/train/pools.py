"""Which pictures a stage sees, epoch by epoch."""

import torch
from torch import Tensor

from ..experiment.stage import Outsiders, Stage, in_force


def draw_pools(
    labels: Tensor, group: list[int] | None, stage: Stage, seed: int, teacher: Tensor | None = None
) -> list[Tensor]:
    """Indices of each epoch's pictures: all of them, or the whole group and some outsiders. Those are another draw each
    epoch or, if the hardest are asked for, those to which the teacher gives most probability of the group."""
    if group is None:
        return [torch.arange(len(labels))] * stage.epochs
    own = torch.isin(labels, torch.tensor(group))
    inside, outside = own.nonzero()[:, 0], (~own).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    outsiders = stage.outsiders or Outsiders([0.0])
    if outsiders.hardest:
        mass = teacher[outside].softmax(1)[:, group].sum(1)
        outside = outside[mass.argsort(descending=True, stable=True)]
    pools = []
    for epoch in range(stage.epochs):
        count = min(len(outside), round(in_force(outsiders.per_own, epoch) * len(inside)))
        order = torch.arange(len(outside)) if outsiders.hardest else torch.randperm(len(outside), generator=generator)
        pools.append(torch.cat([inside, outside[order[:count]]]))
    return pools
