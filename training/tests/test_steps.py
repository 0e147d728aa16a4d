from dataclasses import replace

import numpy as np
import pytest
import torch
from support import STAGE

from ask_training.steps import Run, accuracies, expert_pools, find_groups, load_logits, train_base

LABELS = torch.arange(6).repeat(20)[torch.randperm(120, generator=torch.Generator().manual_seed(0))]
OWN = torch.isin(LABELS, torch.tensor([1, 4])).nonzero()[:, 0]


def test_an_experts_epochs_hold_its_own_pictures_and_each_time_other_outsiders() -> None:
    pools = expert_pools(LABELS, [1, 4], replace(STAGE, epochs=3, outsiders=0.75), seed=5)

    assert len(pools) == 3
    drawn = []
    for pool in pools:
        members = torch.isin(pool, OWN)
        assert pool[members].sort().values.tolist() == OWN.tolist()
        outsiders = set(pool[~members].tolist())
        assert len(outsiders) == (~members).sum() == 30
        drawn.append(outsiders)
    assert len({frozenset(outsiders) for outsiders in drawn}) == 3


def test_the_seed_alone_decides_the_outsiders() -> None:
    first, again, other = (torch.stack(expert_pools(LABELS, [1, 4], STAGE, seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("outsiders", "count"), [(0.0, 0), (0.01, 0), (2.0, 80), (9.0, 80)])
def test_outsiders_are_as_many_as_asked_for_or_all_there_are(outsiders: float, count: int) -> None:
    pool = expert_pools(LABELS, [1, 4], replace(STAGE, outsiders=outsiders), seed=5)[0]
    assert len(pool) == len(pool.unique()) == 40 + count


@pytest.mark.parametrize(("epochs", "pools"), [(0.3, 1), (1, 1), (1.5, 2), (2, 2)])
def test_a_part_of_an_epoch_has_its_own_draw(epochs: float, pools: int) -> None:
    assert len(expert_pools(LABELS, [1, 4], replace(STAGE, epochs=epochs), seed=5)) == pools


def test_a_run_loads_the_whole_set_in_two_parts(run: Run) -> None:
    fit, validation, names = run.load()
    assert names == [f"colour-{i}" for i in range(6)]
    assert fit.labels.bincount().tolist() == [30] * 6
    assert validation.labels.bincount().tolist() == [10] * 6
    assert fit.digest == validation.digest


def test_accuracies_are_over_all_pictures_and_over_the_experts_own() -> None:
    logits = torch.eye(3)[[0, 1, 2, 2, 0, 0]]
    labels = torch.tensor([0, 1, 1, 2, 2, 1])
    assert accuracies(logits, labels, None) == {"validationAccuracy": 0.5}
    assert accuracies(logits, labels, [0, 2]) == {"validationAccuracy": 0.5, "validationAccuracyOwnClasses": 0.6667}


def test_groups_are_found_once_and_named(run: Run) -> None:
    run.folder.mkdir(parents=True)
    logits = torch.full((6, 6), -20.0)
    logits[range(6), range(6)] = 0.0
    logits[range(6), [3, 5, 4, 0, 2, 1]] = -1.0
    np.savez(run.path("generalist", "npz"), logits=logits.numpy(), labels=np.arange(6))

    assert find_groups(run) == [[0, 3], [1, 5], [2, 4]]
    assert load_logits(run, "generalist")[1].tolist() == [0, 1, 2, 3, 4, 5]

    run.path("generalist", "npz").unlink()
    assert find_groups(run) == [[0, 3], [1, 5], [2, 4]]


def test_a_step_before_the_one_it_starts_from_names_the_missing_file(run: Run) -> None:
    with pytest.raises(FileNotFoundError, match=r"generalist.safetensors is missing: it is what base starts from"):
        train_base(run)
