import math

import pytest
import torch

from ask_training.policy.gain import FEATURES, RIDGE, features, fit_gain, predict_gain

GROUPS = [[0, 1, 2], [3], [1, 3]]


def test_features_are_what_their_names_say() -> None:
    p = [0.5, 0.3, 0.0, 0.2]
    entropy = -sum(value * math.log(value) for value in p if value) / math.log(4)
    rows = [
        [0.8, 0.5, 0.3, 0.5, 0.3, entropy, 1, 1, 0.64, 0.25, 0.4, 0.4, 1, 0, 0],
        [0.2, 0.2, 0.0, 0.5, 0.3, entropy, 0, 0, 0.04, 0.25, 0.1, 0.04, 0, 1, 0],
        [0.5, 0.3, 0.2, 0.5, 0.3, entropy, 0, 1, 0.25, 0.25, 0.25, 0.15, 0, 0, 1],
    ]
    found = features(torch.tensor([p], dtype=torch.double), GROUPS)
    assert found.shape == (1, 3, len(FEATURES) + 3)
    torch.testing.assert_close(found[0], torch.tensor(rows, dtype=torch.double))


@pytest.mark.parametrize("count", [1, 5])
def test_a_pictures_features_do_not_depend_on_others(count: int) -> None:
    p = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)).softmax(1)
    assert torch.equal(features(p[:count], GROUPS), features(p, GROUPS)[:count])


def test_a_planted_gain_is_recovered() -> None:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(2000, 3, 5, dtype=torch.double, generator=generator)
    weights = torch.tensor([0.5, -0.2, 0.0, 1.0, 0.1], dtype=torch.double)
    gains = inputs @ weights + 0.1 * torch.randn(2000, 3, dtype=torch.double, generator=generator)
    found = fit_gain(inputs, gains)
    torch.testing.assert_close(found, weights, rtol=0, atol=0.01)
    torch.testing.assert_close(predict_gain(inputs, found.float()), inputs @ found, rtol=1e-5, atol=1e-5)


def test_features_that_are_all_alike_still_give_an_answer() -> None:
    """Without the ridge the equations would have none."""
    found = fit_gain(torch.ones(10, 2, 4, dtype=torch.double), torch.ones(10, 2))
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(), torch.tensor(20 / (20 + RIDGE / 4), dtype=torch.double))
