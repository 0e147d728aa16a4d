"""What the networks of a run reach together, before export: experts on their own classes, and the whole system. The
policy is fitted on one half of validation for the other, or on all of it for test pictures."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..data.pictures import Pictures, held_back
from ..models.forward import pick_device, predict
from ..policy.calibrate import Outputs, final_right, fit_rules, fit_temperature, fit_threshold, rank_experts
from ..train.groups import find_groups, find_owners
from ..train.run import Run
from .ablate import Answer, fixed, masked


@dataclass(frozen=True)
class Predictions:
    """Logits [N, classes] of the models of a bundle on the same pictures, and their labels [N]."""

    logits: list[Tensor]  # the generalist's, then each expert's
    labels: Tensor

    def at(self, part: Tensor) -> "Predictions":
        return Predictions([values[part] for values in self.logits], self.labels[part])


def measure(run: Run, test: Pictures | None = None) -> dict[str, float]:
    """Shares of right answers on validation, or on ``test`` pictures, which no policy may be fitted on."""
    groups, owners = find_groups(run), torch.tensor(find_owners(run))
    names = list(run.served().values())
    validation = Predictions([run.logits(name) for name in names], run.split[1].labels)
    if test is None:
        held = held_back(len(validation.labels))
        sides = [(validation.at(~held), validation.at(held)), (validation.at(held), validation.at(~held))]
    else:
        logits = {name: predict(run.model(name), test.pixels, pick_device()) for name in dict.fromkeys(names)}
        sides = [(validation, Predictions([logits[name] for name in names], test.labels))]
    counts = dict.fromkeys(["own", "ownOnly", "system", "always", "generalist"], 0)
    for fit, to in sides:
        for name, right in answers(run, groups, owners, fit, to):
            counts[name] += int(right.sum())
    total = sum(len(to.labels) for _, to in sides)
    return {name: round(count / total, 4) for name, count in counts.items()}


def answers(
    run: Run, groups: list[list[int]], owners: Tensor, fit: Predictions, to: Predictions
) -> Iterator[tuple[str, Tensor]]:
    """Which answers [N] on ``to`` are right, by what gives them; the policy is fitted on ``fit``."""
    own = torch.stack(to.logits[1:])[owners[to.labels], torch.arange(len(to.labels))]
    inside = torch.zeros(len(groups), own.shape[1], dtype=torch.bool)
    for i, group in enumerate(groups):
        inside[i, group] = True
    ruled = own.masked_fill(~inside[owners[to.labels]], -torch.inf)
    group_head = run.experiment.cascade.head == "group"
    yield "own", (ruled if group_head else own).argmax(1) == to.labels
    yield "ownOnly", ruled.argmax(1) == to.labels
    yield "generalist", to.logits[0].argmax(1) == to.labels

    operating = run.experiment.operating
    temperatures = [fit_temperature(fit.logits[0], fit.labels)]
    for logits, group in zip(fit.logits[1:], groups):
        inside_group = torch.isin(fit.labels, torch.tensor(group))
        known = inside_group if group_head else torch.ones_like(inside_group)
        temperatures.append(fit_temperature(logits[known], fit.labels[known]))
    fit_outputs, to_outputs = (outputs(side, temperatures) for side in (fit, to))
    asked = to_outputs.confidence() < fit_threshold(fit_outputs.confidence(), operating.escalation)
    everything = torch.ones_like(asked)
    if group_head:
        merged = answer_of_groups(fit_outputs, to_outputs, groups, operating.k[-1])
        edge = to_outputs.edge.argmax(1)
        yield "system", torch.where(asked, merged, edge) == to.labels
        yield "always", merged == to.labels
    else:
        rule = fit_rules(fit_outputs, groups, operating)[-1]
        yield "system", final_right(rule, to_outputs, groups, asked)
        yield "always", final_right(rule, to_outputs, groups, everything)


def answer_of_groups(fit: Outputs, to: Outputs, groups: list[list[int]], k: int) -> Tensor:
    """Answers [N] with experts that know only their group, always asked by top-k mass. They are merged with the
    generalist in the way that is best on ``fit``: the pool that suits other experts would hold them back."""
    candidates: list[Answer] = [masked(groups, none=False), masked(groups, none=True), fixed(0, 1)]
    on_fit, on_to = (rank_experts(side.edge.exp(), k, groups) for side in (fit, to))
    right = [int((answer(fit, fit, on_fit, on_fit).argmax(1) == fit.labels).sum()) for answer in candidates]
    best = candidates[max(range(len(right)), key=right.__getitem__)]
    return best(fit, to, on_fit, on_to).argmax(1)


def outputs(said: Predictions, temperatures: list[float]) -> Outputs:
    edge, *experts = ((values / t).log_softmax(1) for values, t in zip(said.logits, temperatures, strict=True))
    return Outputs(edge, experts, said.labels)


def cost(run: Run, trained: list[str]) -> dict[str, Any]:
    """Pictures and seconds that training the experts took, and their parameters: a tensor they share counts once."""
    experts = list(dict.fromkeys(run.served().values()))[1:]
    sizes: dict[tuple[str, bytes], int] = {}
    for name in experts:
        for key, tensor in load_file(run.path(name, "safetensors")).items():
            sizes[key, hashlib.sha256(tensor.numpy().tobytes()).digest()] = tensor.numel()
    edge = next(iter(run.served().values()))  # its training is not counted, nor that of the stages that it began as
    free = {edge}
    while (edge := run.experiment.stage(edge).start) in trained:
        free.add(edge)
    paid = [name for name in trained if name not in free]
    return {
        "pictures": sum(run.figures(name)["pictures"] for name in paid),
        "seconds": sum(run.figures(name)["seconds"] for name in paid),
        "parameters": sum(sizes.values()),
    }
