"""Fits the cascade's policy to the models' outputs: temperatures, threshold, routing and merge."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..experiment.config import Operating
from .gain import features, fit_gain, predict_gain

FOLDS = 10
FLOOR = -4.0  # nats
LARGEST_WEIGHT = 5.0
ENOUGH = 100  # pictures to fit merge weights to; with fewer the two models count the same


@dataclass(frozen=True)
class Rule:
    """Whom to ask and how to merge."""

    k: int
    scoring: str  # "top-k-mass" or "expected-gain"
    weights: list[float]  # of the expected gain: its features', then one intercept per expert; empty for the mass
    generalist_weight: float
    expert_weight: float

    def choose(self, edge: Tensor, groups: list[list[int]]) -> Tensor:
        """edge: log-probabilities [N, classes] -> index [N] of the expert to ask."""
        if self.scoring == "top-k-mass":
            return rank_experts(edge.exp(), self.k, groups)
        return predict_gain(features(edge.exp(), groups), torch.tensor(self.weights, dtype=torch.double)).argmax(1)

    def merge(self, edge: Tensor, answers: Tensor) -> Tensor:
        return self.generalist_weight * edge + self.expert_weight * answers


@dataclass(frozen=True)
class Outputs:
    """Calibrated log-probabilities [N, classes] of the models on the same pictures, and their labels [N]."""

    edge: Tensor
    experts: list[Tensor]
    labels: Tensor

    def at(self, part: Tensor) -> "Outputs":
        return Outputs(self.edge[part], [expert[part] for expert in self.experts], self.labels[part])

    def of(self, chosen: Tensor) -> Tensor:
        """The chosen experts' outputs."""
        return torch.stack(self.experts)[chosen, torch.arange(len(chosen))]

    def confidence(self) -> Tensor:
        return self.edge.exp().amax(1)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature of least negative log-likelihood (Guo et al., arXiv:1706.04599), to three digits. A prior for 1
    weighs as much as one picture: without it a few pictures, all of them right, would make every answer certain."""
    scale = torch.logspace(-1, 1, 2001)  # 2.3 per mille apart, well below what 5,000 pictures resolve
    losses = torch.stack([F.cross_entropy(logits / t, labels, reduction="sum") for t in scale]) + scale.log() ** 2
    return round(scale[losses.argmin()].item(), 3)


def rank_experts(probabilities: Tensor, k: int, groups: list[list[int]]) -> Tensor:
    """Index [N] of the expert with the greatest top-k probability mass in its classes."""
    top, index = probabilities.topk(min(k, probabilities.shape[1]), 1)
    mass = torch.zeros_like(probabilities).scatter_(1, index, top)
    return torch.stack([mass[:, group].sum(1) for group in groups], 1).argmax(1)


def fit_merge(edge: Tensor, expert: Tensor, labels: Tensor) -> tuple[float, float]:
    """Weights of the two log-probabilities [N, classes], neither negative, of least negative log-likelihood of their
    log-linear pool. The problem is convex in two numbers; Newton's method leaves out a weight that is at its bound."""
    if len(labels) < ENOUGH:
        return 0.5, 0.5
    x = torch.stack([edge, expert], -1).clamp(min=-50).double()
    truth = x[torch.arange(len(labels)), labels]

    def loss(weights: Tensor) -> float:
        return ((x @ weights).logsumexp(1) - truth @ weights).mean().item()

    weights = torch.tensor([0.5, 0.5], dtype=torch.double)
    for _ in range(15):
        p = (x @ weights).softmax(1)[..., None]
        mean = (p * x).sum(1)
        centred = x - mean[:, None]
        hessian = torch.einsum("nci,ncj->ij", p * centred, centred) / len(x) + 1e-6 * torch.eye(2, dtype=torch.double)
        slope = (mean - truth).mean(0)
        outwards = ((weights <= 0) & (slope > 0)) | ((weights >= LARGEST_WEIGHT) & (slope < 0))
        hessian[outwards], hessian[:, outwards], slope[outwards] = 0, 0, 0
        hessian[outwards, outwards] = 1
        step = torch.linalg.solve(hessian, slope)
        tries = ((weights - step / 2**halved).clamp(0, LARGEST_WEIGHT) for halved in range(20))
        weights = next((tried for tried in tries if loss(tried) <= loss(weights)), weights)
    return round(weights[0].item(), 3), round(max(0.01, weights[1].item()), 3)


def fit_threshold(confidence: Tensor, share: float) -> float:
    """The confidence below which at most that share of the pictures lies."""
    ordered = confidence.sort().values
    return math.floor(1e4 * ordered[min(len(ordered) - 1, int(share * len(ordered)))].item()) / 1e4


def rise_of_truth(outputs: Outputs, generalist_weight: float, expert_weight: float) -> Tensor:
    """Rise of the truth's log-probability [N, experts] if that expert's output is merged in, in nats. Log-probabilities
    are clamped at ``FLOOR``: without it a few hopeless pictures would decide everything."""
    rows = torch.arange(len(outputs.labels))
    merged = torch.stack([generalist_weight * outputs.edge + expert_weight * expert for expert in outputs.experts], 1)
    after = merged.log_softmax(2)[rows, :, outputs.labels].clamp(min=FLOOR)
    return after - outputs.edge[rows, outputs.labels].clamp(min=FLOOR)[:, None]


def fit_rules(outputs: Outputs, groups: list[list[int]], operating: Operating) -> list[Rule]:
    """One rule per k by top-k mass, and one by expected gain, all fitted on these pictures."""
    threshold = fit_threshold(outputs.confidence(), operating.escalation)
    asked = outputs.confidence() < threshold
    rules = []
    for k in operating.k:
        answers = outputs.of(rank_experts(outputs.edge.exp(), k, groups))
        weights = fit_merge(outputs.edge[asked], answers[asked], outputs.labels[asked])
        rules.append(Rule(k, "top-k-mass", [], *weights))
    paper = rules[-1]
    gains = rise_of_truth(outputs, paper.generalist_weight, paper.expert_weight)
    learned = fit_gain(features(outputs.edge.exp(), groups), gains).tolist()
    rules.append(Rule(paper.k, "expected-gain", learned, paper.generalist_weight, paper.expert_weight))
    return rules


def final_right(rule: Rule, outputs: Outputs, groups: list[list[int]], asked: Tensor) -> Tensor:
    """Whether [N] the system's answers are right when it asks for the pictures in ``asked``."""
    answers = outputs.of(rule.choose(outputs.edge, groups))
    merged = rule.merge(outputs.edge, answers).argmax(1)
    return torch.where(asked, merged, outputs.edge.argmax(1)) == outputs.labels


def choose_rule(outputs: Outputs, groups: list[list[int]], operating: Operating) -> Rule:
    """The best top-k mass by cross-validation in ten folds; of equals the first. The learned gain replaces it only if
    it answers more right by over one standard error (Breiman et al., 1984): otherwise it would route by chance where
    the mass has a reason. The choice is then fitted on all pictures."""
    folds = torch.arange(len(outputs.labels)) % min(FOLDS, len(outputs.labels))
    right = torch.zeros(len(operating.k) + 1, len(folds))
    for fold in folds.unique():
        train, test = outputs.at(folds != fold), outputs.at(folds == fold)
        for i, rule in enumerate(fit_rules(train, groups, operating)):
            asked = test.confidence() < fit_threshold(train.confidence(), operating.escalation)
            right[i, folds == fold] = final_right(rule, test, groups, asked).float()
    best = int(right[:-1].sum(1).argmax())
    lead = right[-1] - right[best]
    learned = lead.sum() > lead.square().sum().sqrt()
    return fit_rules(outputs, groups, operating)[-1 if learned else best]


def evaluate(rule: Rule, threshold: float, outputs: Outputs, groups: list[list[int]]) -> dict[str, float]:
    """What the rule and the threshold reach on pictures that fitted neither."""
    asked = outputs.confidence() < threshold
    right = outputs.edge.argmax(1) == outputs.labels
    final = final_right(rule, outputs, groups, asked)
    chosen = rule.choose(outputs.edge, groups)
    inside = torch.stack([torch.isin(outputs.labels, torch.tensor(group)) for group in groups])
    hits = inside[chosen, torch.arange(len(chosen))]
    always = final_right(rule, outputs, groups, torch.ones_like(asked))
    figures = {"accuracy": final, "escalated": asked, "edgeAccuracy": right, "alwaysAskAccuracy": always}
    if asked.any():
        figures |= {
            "escalatedEdgeAccuracy": right[asked], "escalatedAccuracy": final[asked], "routingHitRate": hits[asked],
        }
    return {name: round(values.float().mean().item(), 4) for name, values in figures.items()}


