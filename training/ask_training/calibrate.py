"""Fits temperatures, routing and merge on validation logits of the models as they will be served."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import Operating


@dataclass(frozen=True)
class Policy:
    k: int
    threshold: float
    generalist_weight: float
    expert_weight: float
    accuracy: float  # on validation, as are all that follow
    escalated: float
    escalated_edge_accuracy: float
    escalated_accuracy: float
    routing_hit_rate: float  # share of escalated pictures whose class is the chosen expert's


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature of least negative log-likelihood (Guo et al., arXiv:1706.04599), to three digits."""
    scale = torch.logspace(-1, 1, 2001)  # 2.3 per mille apart, well below what 5,000 pictures resolve
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in scale])
    return round(scale[losses.argmin()].item(), 3)


def rank_experts(probabilities: Tensor, k: int, groups: list[list[int]]) -> Tensor:
    """Index [N] of the expert with the greatest top-k probability mass in its classes."""
    top, index = probabilities.topk(k, 1)
    mass = torch.zeros_like(probabilities).scatter_(1, index, top)
    return torch.stack([mass[:, group].sum(1) for group in groups], 1).argmax(1)


def fit_merge(edge: Tensor, expert: Tensor, labels: Tensor) -> tuple[float, float]:
    """Weights of the two log-probabilities [N, classes] with the least negative log-likelihood of their pool."""
    best, weights = float("inf"), (0.0, 1.0)
    for a in torch.arange(0, 1.51, 0.1).tolist():
        for b in torch.arange(0.1, 1.51, 0.1).tolist():
            loss = F.cross_entropy(a * edge + b * expert, labels).item()
            if loss < best:
                best, weights = loss, (round(a, 2), round(b, 2))
    return weights


def choose_policy(
    edge: Tensor, experts: list[Tensor], groups: list[list[int]], labels: Tensor, operating: Operating,
) -> Policy:
    """Of the policies that escalate at most ``operating.escalation`` of the pictures, and whose accuracy is within
    ``operating.tolerance`` of the best of them, the one that escalates least; of those the most accurate.

    edge: calibrated log-probabilities [N, classes]; experts: the same of each expert. The gate is the calibrated
    max-probability.
    """
    escalation = operating.escalation
    confidence = edge.exp().amax(1)
    right = edge.argmax(1) == labels
    candidates = []
    for k in operating.k:
        chosen = rank_experts(edge.exp(), k, groups)
        answers = torch.stack(experts)[chosen, torch.arange(len(labels))]
        for share in [round(0.02 * i, 2) for i in range(1, int(escalation / 0.02 + 1e-9) + 1)]:
            threshold = round(confidence.quantile(share).item(), 4)
            asked = confidence < threshold
            if not asked.any() or asked.float().mean() > escalation:
                continue
            weights = fit_merge(edge[asked], answers[asked], labels[asked]) if share * len(labels) >= 200 else (0.5, 0.5)
            merged = (weights[0] * edge + weights[1] * answers).argmax(1) == labels
            final = torch.where(asked, merged, right)
            hits = torch.stack([torch.isin(labels, torch.tensor(group)) for group in groups])[chosen, torch.arange(len(labels))]
            candidates.append(Policy(
                k, threshold, *weights, _mean(final), _mean(asked), _mean(right[asked]), _mean(merged[asked]), _mean(hits[asked]),
            ))
    if not candidates:
        raise ValueError(f"no threshold escalates some pictures but at most {escalation:.0%} of {len(labels)}")
    enough = max(policy.accuracy for policy in candidates) - operating.tolerance - 1e-9
    return min((p for p in candidates if p.accuracy >= enough), key=lambda policy: (policy.escalated, -policy.accuracy))


def _mean(values: Tensor) -> float:
    return round(values.float().mean().item(), 4)
