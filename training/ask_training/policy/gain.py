"""The expected gain of asking an expert, in nats of the truth's log-probability: a ridge regression on the generalist's
output. The services compute the same features (shared/policy/expected-gain.ts)."""

import math

import torch
from torch import Tensor

FEATURES = (
    "mass", "best", "next", "confidence", "runnerUp", "entropy", "ownsFirst", "ownsSecond", "massSquared",
    "confidenceSquared", "massTimesConfidence", "massTimesBest",
)
RIDGE = 3.0


def features(probabilities: Tensor, groups: list[list[int]]) -> Tensor:
    """Calibrated probabilities [N, classes] -> float64 [N, experts, features + experts], the intercepts last."""
    p = probabilities.double()
    top, order = p.topk(2, 1)
    confidence, runner_up = top[:, 0], top[:, 1]
    entropy = -(p * p.clamp(min=1e-300).log()).sum(1) / math.log(p.shape[1])
    rows = []
    for i, group in enumerate(groups):
        own = torch.tensor(group)
        best = p[:, own].topk(min(2, len(group)), 1).values
        mass, first = p[:, own].sum(1), best[:, 0]
        second = best[:, 1] if len(group) > 1 else torch.zeros_like(first)
        intercepts = torch.zeros(len(p), len(groups), dtype=torch.double)
        intercepts[:, i] = 1
        columns = [
            mass, first, second, confidence, runner_up, entropy, torch.isin(order[:, 0], own).double(),
            torch.isin(order[:, 1], own).double(), mass * mass, confidence * confidence, mass * confidence,
            mass * first,
        ]
        rows.append(torch.cat([torch.stack(columns, 1), intercepts], 1))
    return torch.stack(rows, 1)


def fit_gain(inputs: Tensor, gains: Tensor) -> Tensor:
    """inputs [N, experts, F], gains [N, experts] -> weights [F] of least squared error, with a ridge."""
    x, y = inputs.flatten(0, 1), gains.double().flatten()
    return torch.linalg.solve(x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=torch.double), x.T @ y)


def predict_gain(inputs: Tensor, weights: Tensor) -> Tensor:
    """Expected gains [N, experts]."""
    return inputs @ weights.double()
