"""The stages of training. Each is a command of its own and is skipped where its result exists."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.files import digest, write_atomically, write_json
from ..experiment.config import Stage
from ..models.forward import pick_device, predict
from ..models.vit import VisionTransformer
from ..models.weights import load_weights
from .engine import lost, train_stage
from .groups import find_groups
from .run import Run, accuracies, save_logits


def perform(run: Run, stage: Stage) -> None:
    """Trains every model of a stage that is not there yet. Raises ValueError if one that is there was made from
    something else, naming what."""
    groups = find_groups(run) if stage.pictures == "group" else [None]
    todo = {}
    for name, group in zip(run.results(stage), groups):
        origin = origin_of(run, stage, name, group)
        if run.path(name, "json").exists():
            check_origin(run, name, origin)
            print(f"{name}: done before, see {run.path(name, 'json')}")
        else:
            todo[name] = (group, origin)
    teacher = teach(run, stage) if todo else None
    watching = [run.model(name) for name in stage.teachers] if todo and stage.watch else []
    for name, (group, origin) in todo.items():
        train(run, stage, name, group, origin, teacher, watching)


def needed(run: Run) -> list[Stage]:
    """The stages that the exported models come from, in order."""
    wanted, todo = set(), [*(export.stage for export in run.experiment.exports), run.experiment.groups.of]
    while todo:
        name = todo.pop()
        if name in wanted or name in ("weights", "scratch"):
            continue
        wanted.add(name)
        stage = run.experiment.stage(name)
        todo += [stage.start, *stage.teachers, *stage.soup]
    return [stage for stage in run.experiment.stages if stage.name in wanted]


def check_stages(run: Run, stages: list[Stage]) -> None:
    """Raises ValueError if a result that is there was made from something else, FileNotFoundError if one is missing."""
    for stage in stages:
        groups = find_groups(run) if stage.pictures == "group" else [None]
        for name, group in zip(run.results(stage), groups):
            if not run.path(name, "json").exists():
                raise FileNotFoundError(f"{run.path(name, 'json')} is missing: run the stage {stage.name!r} first")
            check_origin(run, name, origin_of(run, stage, name, group))


def origin_of(run: Run, stage: Stage, name: str, group: list[int] | None) -> dict[str, Any]:
    """All that decides what a result is."""
    experiment = run.experiment
    start = start_of(run, stage, name)
    if start is not None and not start.exists():
        raise FileNotFoundError(f"{start} is missing: it is what {name} starts from")
    architecture = asdict(run.architecture(stage))
    del architecture["patch"]  # among what is peculiar, if it is
    return asdict(stage) | architecture | run.shape(stage).peculiar() | {
        "data": run.source.digest, "side": experiment.side, "seed": experiment.seed, "classes": group,
        "split": [experiment.validation, experiment.split_seed, experiment.subset],
        "starting weights": None if start is None else digest(start),
        "soup's weights": [digest(path) for path in soup_of(run, stage, name)],
        "teachers' weights": [digest(run.path(teacher, "safetensors")) for teacher in stage.teachers],
    }


def check_origin(run: Run, name: str, origin: dict[str, Any]) -> None:
    """A setting that did not exist when the result was made had its default."""
    path, defaults = run.path(name, "json"), asdict(Stage("", "", "", "", 0)) | {"soup's weights": []}
    made = defaults | run.figures(name)["origin"]
    differing = [key for key in sorted(made.keys() | origin.keys()) if made.get(key) != origin.get(key)]
    if differing:
        raise ValueError(f"{path} was made with another {', '.join(differing)}: remove it, or give the stage or the run another name")


def train(
    run: Run, stage: Stage, name: str, group: list[int] | None, origin: dict[str, Any], teacher: Tensor | None,
    watching: list[VisionTransformer],
) -> None:
    fit, validation = run.split
    run.folder.mkdir(parents=True, exist_ok=True)
    model = run.build(stage)
    start = start_of(run, stage, name)
    if start is not None:
        load_weights(model, start)
    checkpoint = run.path(name, "checkpoint")
    seed = seed_of(run.experiment.seed, name)
    pools = draw_pools(fit.labels, group, stage, seed, teacher)
    stored = None if stage.watch else teacher
    figures = train_stage(model, fit, pools, stage, seed, checkpoint, name, stored, json.dumps(origin), watching)
    stir(model, [load_file(path) for path in soup_of(run, stage, name)])
    logits = predict(model, validation.pixels, pick_device())
    if not logits.isfinite().all():  # what the last step did, no later loss shows
        raise lost(name, "an output after the last step", logits[~logits.isfinite()][0].item(), figures["steps"], checkpoint)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    run.path(name, "fit.npz").unlink(missing_ok=True)  # of other weights, if there is one
    write_atomically(run.path(name, "safetensors"), lambda to: save_file(weights, to))
    save_logits(run.path(name, "npz"), logits)
    figures |= accuracies(logits, validation.labels, group) | {"origin": origin}
    write_json(run.path(name, "json"), figures)
    checkpoint.unlink(missing_ok=True)
    print(f"{name}: {figures}")


def start_of(run: Run, stage: Stage, name: str) -> Path | None:
    """The weights a model begins with; None for random ones."""
    if stage.start == "scratch":
        return None
    if stage.start == "weights":
        return run.starting_weights(stage)
    return counterpart(run, stage, name, stage.start)


def counterpart(run: Run, stage: Stage, name: str, other: str) -> Path:
    """Weights of another stage that belong to this stage's result: of the same group, or of the one network for all."""
    whole = run.experiment.stage(other).pictures == "all"
    return run.path(other if whole else other + name.removeprefix(stage.name), "safetensors")


def soup_of(run: Run, stage: Stage, name: str) -> list[Path]:
    """The counterparts of the stage's soup; into the one network for all go those of every group."""
    paths = []
    for other in stage.soup:
        if stage.pictures == "all":
            paths += [run.path(result, "safetensors") for result in run.results(run.experiment.stage(other))]
        else:
            paths.append(counterpart(run, stage, name, other))
    return paths


def stir(model: VisionTransformer, others: list[dict[str, Tensor]]) -> None:
    """Makes the model's weights the mean of its own and the others'."""
    own = model.state_dict()
    model.load_state_dict({
        key: torch.stack([value.cpu(), *(other[key] for other in others)]).mean(0) for key, value in own.items()
    })


def seed_of(seed: int, name: str) -> int:
    """Stages that follow one another must not see the same pictures in the same order under the same crops."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:3])


def teach(run: Run, stage: Stage) -> Tensor | None:
    """Mean log-probabilities [N, classes] of the stage's teachers on the fit pictures, where it needs them."""
    if not stage.teachers or (stage.watch and not stage.hardest):
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
