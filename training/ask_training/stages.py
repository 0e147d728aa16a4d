"""The stages of training. Each is a command of its own and is skipped where its result exists."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from .config import Stage
from .engine import pick_device, predict, train_stage
from .files import write_atomically, write_json
from .groups import find_groups
from .run import Run, accuracies, save_logits
from .vit import load_weights


def perform(run: Run, stage: Stage) -> None:
    """Trains every model of a stage that is not there yet."""
    for name in run.results(stage):
        check_settings(run, stage, name)
    todo = [name for name in run.results(stage) if not run.path(name, "json").exists()]
    for name in sorted(set(run.results(stage)) - set(todo)):
        print(f"{name}: done before, see {run.path(name, 'json')}")
    if not todo:
        return
    teacher = teach(run, stage)
    groups = find_groups(run) if stage.pictures == "group" else [None]
    for name, group in zip(run.results(stage), groups):
        if name in todo:
            train(run, stage, name, group, teacher)


def check_settings(run: Run, stage: Stage, name: str) -> None:
    """A result made with other settings must not pass for this experiment's. Raises ValueError naming the settings."""
    if not run.path(name, "json").exists():
        return
    made = run.figures(name)
    now = {"stage": asdict(stage), "architecture": asdict(run.experiment.architectures[stage.architecture])}
    differing = [key for part, values in now.items() for key, value in values.items() if made[part].get(key) != value]
    if differing:
        path = run.path(name, "json")
        raise ValueError(f"{path} was made with another {', '.join(differing)}: remove it, or give the stage another name")


def train(run: Run, stage: Stage, name: str, group: list[int] | None, teacher: Tensor | None) -> None:
    fit, validation = run.split
    run.folder.mkdir(parents=True, exist_ok=True)
    model = run.build(stage)
    start = start_of(run, stage, name)
    if start is not None:
        if not start.exists():
            raise FileNotFoundError(f"{start} is missing: it is what {name} starts from")
        load_weights(model, start)
    checkpoint = run.path(name, "checkpoint")
    seed = seed_of(run.experiment.seed, name)
    pools = draw_pools(fit.labels, group, stage, seed, teacher)
    figures = train_stage(model, fit, pools, stage, seed, checkpoint, name, teacher)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomically(run.path(name, "safetensors"), lambda to: save_file(weights, to))
    logits = predict(model, validation.pixels, pick_device())
    save_logits(run.path(name, "npz"), logits)
    figures |= accuracies(logits, validation.labels, group)
    figures |= {"architecture": asdict(run.experiment.architectures[stage.architecture]), "stage": asdict(stage)}
    write_json(run.path(name, "json"), figures)
    checkpoint.unlink(missing_ok=True)
    print(f"{name}: {figures}")


def start_of(run: Run, stage: Stage, name: str) -> Path | None:
    """The weights a model begins with; None for random ones."""
    if stage.start == "scratch":
        return None
    if stage.start == "weights":
        if run.weights is None:
            raise ValueError(f"stage {stage.name!r} starts from weights: name them with --weights")
        return run.weights
    before = run.experiment.stage(stage.start)
    result = before.name if before.pictures == "all" else before.name + name.removeprefix(stage.name)
    return run.path(result, "safetensors")


def seed_of(seed: int, name: str) -> int:
    """Stages that follow one another must not see the same pictures in the same order under the same crops."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:3])


def teach(run: Run, stage: Stage) -> Tensor | None:
    """Mean log-probabilities [N, classes] of the stage's teachers on the fit pictures."""
    if not stage.teachers:
        return None
    return torch.stack([run.fit_logits(name).float().log_softmax(1) for name in stage.teachers]).mean(0)


def draw_pools(
    labels: Tensor, group: list[int] | None, stage: Stage, seed: int, teacher: Tensor | None = None
) -> list[Tensor]:
    """Indices of each epoch's pictures: all of them, or the whole group and ``outsiders`` times as many from outside it:
    each epoch another draw or, with ``hardest``, those to which the teacher gives most probability of the group."""
    if group is None:
        return [torch.arange(len(labels))] * stage.epochs
    own = torch.isin(labels, torch.tensor(group))
    inside, outside = own.nonzero()[:, 0], (~own).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    if stage.hardest:
        mass = teacher[outside].softmax(1)[:, group].sum(1)
        outside = outside[mass.argsort(descending=True, stable=True)]
    pools = []
    for epoch in range(stage.epochs):
        count = min(len(outside), round(stage.at(stage.outsiders, epoch) * len(inside)))
        order = torch.arange(len(outside)) if stage.hardest else torch.randperm(len(outside), generator=generator)
        pools.append(torch.cat([inside, outside[order[:count]]]))
    return pools
