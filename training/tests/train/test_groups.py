import itertools

import pytest
import torch
from torch import Tensor

from ask_training.experiment.config import Groups
from ask_training.train.groups import confusion, group_classes


def limits(count: int, smallest: int, largest: int) -> Groups:
    return Groups("generalist", count, smallest, largest)


def random_affinity(classes: int, seed: int) -> Tensor:
    affinity = torch.rand(classes, classes, generator=torch.Generator().manual_seed(seed)) ** 3
    return (affinity + affinity.T).fill_diagonal_(0)


def inside(affinity: Tensor, groups: list[list[int]]) -> float:
    return sum(affinity.double()[group][:, group].sum().item() for group in groups)


def test_confusion_is_the_probability_given_to_one_another() -> None:
    probabilities = torch.tensor([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.3, 0.6, 0.1], [0.25, 0.25, 0.5]])
    found = confusion(probabilities.log() + 4.0, torch.tensor([0, 0, 1, 2]))
    expected = [[0, 0.2 + 0.3 + 0.3, 0.1 + 0.2 + 0.25], [0.8, 0, 0.1 + 0.25], [0.55, 0.35, 0]]
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("seed", range(5))
def test_planted_groups_are_found(seed: int) -> None:
    sizes = [7, 5, 8, 4]
    order = torch.randperm(24, generator=torch.Generator().manual_seed(seed))
    owner = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))[order]
    affinity = random_affinity(24, seed) + (owner[:, None] == owner[None]).float()
    affinity.fill_diagonal_(0)

    found = group_classes(affinity, limits(4, 4, 8))

    assert found == sorted((owner == group).nonzero()[:, 0].tolist() for group in range(4))


LIMITS = [
    limits(5, 4, 4), limits(4, 3, 8), limits(3, 6, 7), limits(2, 1, 19), limits(6, 1, 4), limits(20, 1, 1), limits(1, 20, 20),
]


@pytest.mark.parametrize("options", LIMITS, ids=lambda options: f"{options.count} of {options.smallest}-{options.largest}")
@pytest.mark.parametrize("seed", range(4))
def test_every_class_is_in_one_group_of_allowed_size_and_no_move_or_swap_is_better(seed: int, options: Groups) -> None:
    affinity = random_affinity(20, seed)
    groups = group_classes(affinity, options)

    assert len(groups) == options.count
    assert sorted(label for group in groups for label in group) == list(range(20))
    assert all(options.smallest <= len(group) <= options.largest for group in groups)

    reached = inside(affinity, groups)
    for one, other in itertools.permutations(range(options.count), 2):
        for leaving, coming in itertools.product(groups[one], [*groups[other], None]):
            changed = [set(group) for group in groups]
            changed[one] -= {leaving}
            changed[other] |= {leaving}
            if coming is not None:
                changed[one] |= {coming}
                changed[other] -= {coming}
            if all(options.smallest <= len(changed[group]) <= options.largest for group in (one, other)):
                assert inside(affinity, [sorted(group) for group in changed]) <= reached + 1e-5


def test_a_class_that_belongs_nowhere_still_fills_a_group() -> None:
    """All affinity wants one large group: the lower limit has to break it up."""
    affinity = torch.zeros(9, 9)
    affinity[:6, :6] = 1
    affinity.fill_diagonal_(0)
    groups = group_classes(affinity, limits(3, 3, 6))
    assert [len(group) for group in groups] == [3, 3, 3]


def test_the_same_affinity_gives_the_same_groups_and_is_left_alone() -> None:
    affinity = random_affinity(30, 1)
    before = affinity.clone()
    assert group_classes(affinity, limits(4, 5, 9)) == group_classes(affinity, limits(4, 5, 9))
    assert torch.equal(affinity, before)


@pytest.mark.parametrize("seed", [2, 3, 5])
def test_classes_that_are_alike_do_not_change_places_for_ever(seed: int) -> None:
    """In float32 the gain of swapping equal classes rounded to more than nothing, both ways, and the search never
    ended."""
    affinity = (random_affinity(12, seed) * 2292.5).repeat_interleave(2, 0).repeat_interleave(2, 1).fill_diagonal_(0)
    groups = group_classes(affinity, limits(3, 6, 10))
    assert sorted(label for group in groups for label in group) == list(range(24))
