"""The rules by which classes become groups."""

import json
from dataclasses import replace

import pytest
import torch
from support import CLASSES
from torch import Tensor

from ask_training.data.pictures import DataError
from ask_training.experiment.config import Groups
from ask_training.train.groups import find_groups, find_owners, group_classes, partition, widen
from ask_training.train.run import Run, save_logits


def random_affinity(classes: int, seed: int = 0) -> Tensor:
    affinity = torch.rand(classes, classes, generator=torch.Generator().manual_seed(seed)) ** 3
    return (affinity + affinity.T).fill_diagonal_(0)


def options(by: str, count: int = 3, smallest: int = 2, largest: int = 5, **more: float) -> Groups:
    return Groups("generalist", count, smallest, largest, by, **more)


def test_by_confusion_and_by_overlap_classes_go_where_their_affinity_is() -> None:
    affinity = random_affinity(10)
    expected = group_classes(affinity, options("confusion"))
    assert partition(affinity, options("confusion"), None, 1) == expected
    assert partition(affinity, options("overlap"), None, 1) == expected
    assert partition(affinity, options("random"), None, 1) != expected


def test_by_chance_the_seed_deals_every_class_into_groups_of_almost_one_size() -> None:
    first, again, other = (partition(random_affinity(10), options("random"), None, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(label for group in first for label in group) == list(range(10))
    assert sorted(map(len, first)) == [3, 3, 4]


def test_by_superclass_classes_of_one_superclass_stay_together() -> None:
    coarse = torch.tensor([2, 0, 1, 2, 0, 1])
    assert partition(random_affinity(6), options("superclass"), coarse, 1) == [[0, 3], [1, 4], [2, 5]]


def test_superclasses_share_a_group_with_those_they_are_confused_with() -> None:
    coarse = torch.tensor([2, 0, 1, 3, 0, 1, 2, 3])
    affinity = torch.zeros(8, 8)
    affinity[0, 4] = affinity[4, 0] = 1  # superclass 2 with 0
    affinity[3, 5] = affinity[5, 3] = 1  # superclass 3 with 1
    affinity[1, 4] = affinity[4, 1] = 9  # inside superclass 0: says nothing about the others
    assert partition(affinity, options("superclass", count=2), coarse, 1) == [[0, 1, 4, 6], [2, 3, 5, 7]]


def test_groups_that_would_cut_a_superclass_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^4 superclasses do not fit 3 groups of 2 to 3 classes$"):
        partition(random_affinity(8), options("superclass", 3, 2, 3), torch.tensor([2, 0, 1, 3, 0, 1, 2, 3]), 1)


def test_grouping_by_superclass_is_refused_where_the_data_have_none() -> None:
    with pytest.raises(DataError, match="grouping by superclass needs data with superclasses, such as CIFAR-100's"):
        partition(random_affinity(6), options("superclass"), None, 1)


@pytest.mark.parametrize("by", ["confusion", "overlap", "superclass", "random"])
@pytest.mark.parametrize(("smallest", "largest"), [(4, 10), (2, 3)])
def test_sizes_that_cannot_hold_the_classes_are_refused(by: str, smallest: int, largest: int) -> None:
    with pytest.raises(ValueError, match=f"^10 classes do not fit 3 groups of {smallest} to {largest}$"):
        partition(random_affinity(10), options(by, 3, smallest, largest), torch.zeros(10, dtype=torch.long), 1)


def test_a_widened_group_takes_in_the_classes_it_is_confused_with_most() -> None:
    affinity = torch.zeros(6, 6)
    for one, other, value in ((0, 3, 0.4), (1, 3, 0.3), (0, 4, 0.6), (1, 5, 0.1), (2, 5, 9.0)):
        affinity[one, other] = affinity[other, one] = value
    assert widen([0, 1], affinity, 0.0) == [0, 1]
    assert widen([0, 1], affinity, 0.5) == [0, 1, 3]  # 0.7 in all, against 0.6 for class 4
    assert widen([0, 1], affinity, 1.0) == [0, 1, 3, 4]


def test_a_group_cannot_widen_beyond_all_classes() -> None:
    assert widen([0, 1, 2], random_affinity(4), 1.0) == [0, 1, 2, 3]


@pytest.fixture
def confused(run: Run) -> Run:
    """A run whose generalist mistakes 0 for 3, 1 for 5 and 2 for 4, and nearly 0 for 1."""
    run.folder.mkdir(parents=True)
    labels = run.split[1].labels
    table = torch.full((CLASSES, CLASSES), -20.0)
    table[range(6), range(6)] = 0.0
    table[range(6), [3, 5, 4, 0, 2, 1]] = -1.0
    table[0, 1] = table[1, 0] = -3.0
    save_logits(run.path("generalist", "npz"), table[labels])
    return run


def regroup(run: Run, **changes: object) -> Run:
    groups = replace(run.experiment.groups, **changes)
    return replace(run, experiment=replace(run.experiment, groups=groups))


def test_groups_are_found_once_and_named(confused: Run) -> None:
    assert find_groups(confused) == [[0, 3], [1, 5], [2, 4]]
    assert find_owners(confused) == [0, 1, 2, 0, 2, 1]
    stored = json.loads((confused.folder / "groups.json").read_text())
    assert stored["names"] == [["colour-0", "colour-3"], ["colour-1", "colour-5"], ["colour-2", "colour-4"]]
    assert 0.9 < stored["confusionInside"] < 1

    written = (confused.folder / "groups.json").stat().st_mtime_ns
    assert find_groups(confused) == [[0, 3], [1, 5], [2, 4]]
    assert (confused.folder / "groups.json").stat().st_mtime_ns == written


def test_classes_of_overlapping_groups_keep_one_owner(confused: Run) -> None:
    run = regroup(confused, by="overlap", overlap=0.5)
    groups, owners = find_groups(run), find_owners(run)
    assert groups[0] == [0, 1, 3]
    assert groups[1] == [0, 1, 5]
    assert [len(group) for group in groups] == [3, 3, 3]
    assert owners == [0, 1, 2, 0, 2, 1]


def test_an_overlap_is_for_overlapping_groups_only(confused: Run) -> None:
    assert find_groups(regroup(confused, overlap=0.5)) == [[0, 3], [1, 5], [2, 4]]


def test_the_superclasses_are_the_datas_own(confused: Run) -> None:
    assert find_groups(regroup(confused, by="superclass")) == [[0, 1], [2, 3], [4, 5]]


def test_groups_found_in_another_way_are_refused_by_what_differs(confused: Run) -> None:
    find_groups(confused)
    with pytest.raises(ValueError, match=r"groups.json was made with another by: remove it and what was trained on its groups"):
        find_groups(regroup(confused, by="superclass"))
    save_logits(confused.path("generalist", "npz"), confused.logits("generalist") + 1)
    with pytest.raises(ValueError, match="another predictions: remove"):
        find_groups(confused)
