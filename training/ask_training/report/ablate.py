"""One choice at a time, on stored predictions. Each row is fitted on one half of validation and measured on the other,
both ways round: every picture counts once, and none is measured by what it fitted. The models' temperatures alone, one
number each, are the manifest's."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..experiment.config import Operating
from ..policy.calibrate import Outputs, fit_merge, fit_rules, fit_threshold, rank_experts
from ..policy.gain import features, predict_gain
from .stored import Stored

Choice = Callable[[Outputs, Outputs], Tensor]  # (fitted on, applied to) -> index [N] of the expert to ask
Answer = Callable[[Outputs, Outputs, Tensor, Tensor], Tensor]  # (fitted on, applied to, chosen on both) -> [N, classes]
Gate = Callable[[Outputs, Outputs], Tensor]  # (fitted on, applied to) -> confidence [N]

K = 5
SHARE = 0.4  # of the pictures, the least confident: what merges and gains are fitted on


def halves(stored: Stored) -> list[tuple[Outputs, Outputs]]:
    one, other = stored.outputs.at(~stored.held), stored.outputs.at(stored.held)
    return [(one, other), (other, one)]


def confidence(fit: Outputs, to: Outputs) -> Tensor:
    return to.confidence()


def by_mass(groups: list[list[int]], k: int = K) -> Choice:
    return lambda fit, to: rank_experts(to.edge.exp(), k, groups)


def by_votes(groups: list[list[int]], k: int = K) -> Choice:
    def choose(fit: Outputs, to: Outputs) -> Tensor:
        top = to.edge.topk(min(k, to.edge.shape[1]), 1).indices
        votes = torch.stack([torch.isin(top, torch.tensor(group)).sum(1) for group in groups], 1).double()
        mass = torch.stack([to.edge.exp()[:, group].sum(1) for group in groups], 1)
        return (votes + 1e-3 * mass).argmax(1)

    return choose


def by_gain(groups: list[list[int]]) -> Choice:
    return lambda fit, to: expected_gains(fit, to, groups).argmax(1)


def as_served(stored: Stored) -> Choice:
    """The bundle's own way of choosing, fitted anew."""
    return by_gain(stored.groups) if stored.scoring == "expected-gain" else by_mass(stored.groups, stored.k)


def expected_gains(fit: Outputs, to: Outputs, groups: list[list[int]]) -> Tensor:
    rule = fit_rules(fit, groups, Operating(SHARE, [K]))[-1]
    return predict_gain(features(to.edge.exp(), groups), torch.tensor(rule.weights, dtype=torch.double))


def by_truth(owners: list[int]) -> Choice:
    return lambda fit, to: torch.tensor(owners)[to.labels]


def unsure(outputs: Outputs) -> Tensor:
    """The pictures that merges are fitted on; all, where none is less sure than the others."""
    part = outputs.confidence() < fit_threshold(outputs.confidence(), SHARE)
    return part if part.any() else torch.ones_like(part)


def log_linear(fit: Outputs, to: Outputs, chosen_fit: Tensor, chosen: Tensor) -> Tensor:
    part = unsure(fit)
    a, b = fit_merge(fit.edge[part], fit.of(chosen_fit)[part], fit.labels[part])
    return a * to.edge + b * to.of(chosen)


def fixed(a: float, b: float) -> Answer:
    return lambda fit, to, chosen_fit, chosen: a * to.edge + b * to.of(chosen)


def mean(fit: Outputs, to: Outputs, chosen_fit: Tensor, chosen: Tensor) -> Tensor:
    return (to.edge.exp() + to.of(chosen).exp()) / 2


def learned_merge(fit: Outputs, to: Outputs, chosen_fit: Tensor, chosen: Tensor) -> Tensor:
    """Log-linear weights that follow each model's confidence, by least negative log-likelihood."""

    def sides(outputs: Outputs, picked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        answers = outputs.of(picked)
        ones = torch.ones(len(answers))
        return outputs.edge, answers, torch.stack([ones, outputs.confidence(), answers.exp().amax(1)], 1)

    weights = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    part = unsure(fit)
    edge, answers, inputs = sides(fit.at(part), chosen_fit[part])
    optimizer = torch.optim.LBFGS([weights], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        scale = inputs @ weights
        loss = F.cross_entropy(scale[:, :1] * edge + scale[:, 1:] * answers, fit.labels[part])
        loss = loss + 1e-3 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    edge, answers, inputs = sides(to, chosen)
    scale = (inputs @ weights).detach()
    return scale[:, :1] * edge + scale[:, 1:] * answers


def masked(groups: list[list[int]], none: bool) -> Answer:
    """The expert's head is cut to its group: it redistributes the probability that the generalist gives to the group
    as a whole. With ``none``, the expert's own probability of the group counts as much as the generalist's."""

    def answer(fit: Outputs, to: Outputs, chosen_fit: Tensor, chosen: Tensor) -> Tensor:
        own = torch.zeros(len(groups), to.edge.shape[1], dtype=torch.bool)
        for i, group in enumerate(groups):
            own[i, group] = True

        def within(outputs: Outputs, picked: Tensor) -> tuple[Tensor, Tensor]:
            mine = own[picked]
            return outputs.edge.masked_fill(~mine, -50.0), outputs.of(picked).masked_fill(~mine, -50.0)

        hit = own[chosen_fit, fit.labels]
        a, b = fit_merge(*(part[hit] for part in within(fit, chosen_fit)), fit.labels[hit])
        edge, expert = within(to, chosen)
        shares = (a * edge + b * expert).masked_fill(~own[chosen], -1e4).log_softmax(1)
        share = edge.exp().sum(1, keepdim=True)
        if none:
            share = (share * expert.exp().sum(1, keepdim=True)).sqrt()
        rest = ((1 - share) / (1 - edge.exp().sum(1, keepdim=True)).clamp(min=1e-9)).clamp(min=1e-9).log()
        return torch.where(own[chosen], shares + share.clamp(min=1e-9).log(), to.edge + rest)

    return answer


def margin(fit: Outputs, to: Outputs) -> Tensor:
    first, second = to.edge.exp().topk(2, 1).values.T
    return first - second


def negative_entropy(fit: Outputs, to: Outputs) -> Tensor:
    return (to.edge.exp() * to.edge).sum(1)


def learned_gate(fit: Outputs, to: Outputs) -> Tensor:
    """Logistic regression of "the generalist is right" on its five largest log-probabilities and its entropy."""

    def inputs(outputs: Outputs) -> Tensor:
        top = outputs.edge.topk(min(5, outputs.edge.shape[1]), 1).values.clamp(min=-12)
        entropy = negative_entropy(outputs, outputs)[:, None]
        return torch.cat([top, top[:, :1].exp(), entropy, torch.ones(len(top), 1)], 1).double()

    x, right = inputs(fit), (fit.edge.argmax(1) == fit.labels).double()
    weights = torch.zeros(x.shape[1], dtype=torch.double)
    for _ in range(25):  # Newton's method on a convex loss
        p = (x @ weights).sigmoid()
        hessian = (x * (p * (1 - p))[:, None]).T @ x + torch.eye(len(weights), dtype=torch.double)
        weights -= torch.linalg.solve(hessian, x.T @ (p - right) + weights)
    return inputs(to) @ weights


def by_expected_gain(groups: list[list[int]]) -> Gate:
    return lambda fit, to: -expected_gains(fit, to, groups).amax(1)


def system(stored: Stored, choice: Choice, share: float, answer: Answer = log_linear, gate: Gate = confidence) -> float:
    """Accuracy of the system when it escalates that share of the pictures."""
    right = 0
    for fit, to in halves(stored):
        asked = escalated(fit, to, share, gate)
        answers = answer(fit, to, choice(fit, fit), choice(fit, to)).argmax(1)
        right += int((torch.where(asked, answers, to.edge.argmax(1)) == to.labels).sum())
    return right / len(stored.outputs.labels)


def escalated(fit: Outputs, to: Outputs, share: float, gate: Gate) -> Tensor:
    """Bool [N]: the pictures below the gate's threshold for that share."""
    if share == 1:
        return torch.ones(len(to.labels), dtype=torch.bool)
    return gate(fit, to) < fit_threshold(gate(fit, fit), share)


def auroc(scores: Tensor, positive: Tensor) -> float:
    """Probability that a positive scores above a negative, ties counting half (Mann and Whitney)."""
    _, inverse, counts = scores.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2).double()[inverse]
    positives = int(positive.sum())
    negatives = len(positive) - positives
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def gate_auroc(stored: Stored, gate: Gate) -> float:
    """Of telling the generalist's right answers from its wrong ones: mean of the two halves."""
    values = [auroc(gate(fit, to), to.edge.argmax(1) == to.labels) for fit, to in halves(stored)]
    return sum(values) / len(values)


def oracle(stored: Stored, share: float, answer: Answer = log_linear) -> float:
    """As ``system`` with the confidence gate, but asking an expert that leads to the right answer wherever one does."""
    right = 0
    for fit, to in halves(stored):
        asked = escalated(fit, to, share, confidence)
        chosen = rank_experts(fit.edge.exp(), K, stored.groups)
        any_right = torch.stack([
            answer(fit, to, chosen, torch.full_like(to.labels, i)).argmax(1) == to.labels
            for i in range(len(to.experts))
        ]).any(0)
        right += int(torch.where(asked, any_right, to.edge.argmax(1) == to.labels).sum())
    return right / len(stored.outputs.labels)
