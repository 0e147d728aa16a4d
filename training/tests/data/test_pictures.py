import pytest
import torch
from support import noise

from ask_training.data.pictures import DataError, Pictures, split

LABELS = torch.arange(7).repeat(30)[torch.randperm(210, generator=torch.Generator().manual_seed(0))]


def test_a_cut_keeps_pixels_and_labels_together() -> None:
    pictures = Pictures(noise(4), torch.tensor([5, 6, 7, 8]))
    cut = pictures.at(torch.tensor([3, 1]))
    assert len(cut) == 2
    assert cut.labels.tolist() == [8, 6]
    assert torch.equal(cut.pixels, pictures.pixels[[3, 1]])


def test_the_split_divides_all_pictures_and_holds_the_share_of_each_class() -> None:
    fit, validation = split(LABELS, 0.2, seed=1)

    assert torch.cat([fit, validation]).sort().values.tolist() == list(range(210))
    assert LABELS[validation].bincount().tolist() == [6] * 7
    assert fit.tolist() == sorted(fit.tolist())
    assert validation.tolist() == sorted(validation.tolist())


def test_classes_of_other_sizes_give_the_same_share_and_never_nothing() -> None:
    labels = torch.tensor([0] * 40 + [1] * 9 + [2] * 2)
    validation = split(labels, 0.1, seed=1)[1]
    assert labels[validation].bincount().tolist() == [4, 1, 1]


def test_the_seed_alone_decides_the_split() -> None:
    first, again, other = (split(LABELS, 0.2, seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("count", "share", "wanted"), [(1, 0.1, 1), (3, 0.9, 3), (4, 1.0, 4), (2, 60, 120)])
def test_a_class_without_pictures_left_to_fit_is_refused(count: int, share: float, wanted: int) -> None:
    labels = torch.tensor([0] * 1000 + [1] * count)
    if share >= 1:
        labels = labels[1000:]
    with pytest.raises(DataError, match=f"class 1 has {count} pictures, {wanted} of them wanted for validation"):
        split(labels, share, seed=1)
