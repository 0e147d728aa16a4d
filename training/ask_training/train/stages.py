"""The stages of training. Each is a command of its own and is skipped where its result exists."""

import hashlib
import json
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.files import write_atomically, write_json
from ..experiment.stage import Stage
from ..models.forward import pick_device, predict
from ..models.vit import VisionTransformer
from ..models.weights import load_weights
from .distil import ConsistentTeacher, StoredTeacher, Teacher
from .engine import lost, train_stage
from .groups import find_groups
from .origin import check_origin, origin_of, soup_of, start_of
from .pools import draw_pools
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
    said = teach(run, stage) if todo else None
    teacher = find_teacher(run, stage, said) if todo else None
    for name, (group, origin) in todo.items():
        seed = seed_of(run.experiment.seed, name)
        pools = draw_pools(run.split[0].labels, group, stage, seed, said)
        train(run, stage, name, origin, group, pools, teacher)


def needed(run: Run) -> list[Stage]:
    """The stages that the exported models come from, in order."""
    wanted, todo = set(), [*(export.stage for export in run.experiment.exports), run.experiment.groups.of]
    while todo:
        name = todo.pop()
        if name in wanted or name in ("weights", "scratch"):
            continue
        wanted.add(name)
        todo += run.experiment.stage(name).parents
    return [stage for stage in run.experiment.stages if stage.name in wanted]


def check_stages(run: Run, stages: list[Stage]) -> None:
    """Raises ValueError if a result that is there was made from something else, FileNotFoundError if one is missing."""
    for stage in stages:
        groups = find_groups(run) if stage.pictures == "group" else [None]
        for name, group in zip(run.results(stage), groups):
            if not run.path(name, "json").exists():
                raise FileNotFoundError(f"{run.path(name, 'json')} is missing: run the stage {stage.name!r} first")
            check_origin(run, name, origin_of(run, stage, name, group))


def train(
    run: Run, stage: Stage, name: str, origin: dict[str, Any], group: list[int] | None, pools: list[Tensor],
    teacher: Teacher | None,
) -> None:
    fit, validation = run.split
    run.folder.mkdir(parents=True, exist_ok=True)
    model = run.build(stage)
    start = start_of(run, stage, name)
    if start is not None:
        load_weights(model, start)
    checkpoint, seed = run.path(name, "checkpoint"), seed_of(run.experiment.seed, name)
    figures = train_stage(model, fit, pools, stage, seed, checkpoint, name, teacher, json.dumps(origin))
    if stage.soup:
        average_weights(model, [load_file(path) for path in soup_of(run, stage, name)])
    logits = predict(model, validation.pixels, pick_device())
    if not logits.isfinite().all():  # no later loss shows what the last step did
        value = logits[~logits.isfinite()][0].item()
        raise lost(name, "an output after the last step", value, figures["steps"], checkpoint)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    run.path(name, "fit.npz").unlink(missing_ok=True)  # a leftover of other weights
    write_atomically(run.path(name, "safetensors"), lambda to: save_file(weights, to))
    save_logits(run.path(name, "npz"), logits)
    figures |= accuracies(logits, validation.labels, group) | {"origin": origin}
    write_json(run.path(name, "json"), figures)
    checkpoint.unlink(missing_ok=True)
    print(f"{name}: {figures}")


def average_weights(model: VisionTransformer, others: list[dict[str, Tensor]]) -> None:
    """Makes the model's weights the mean of its own and the others'."""
    own = model.state_dict()
    model.load_state_dict({
        key: torch.stack([value.cpu(), *(other[key] for other in others)]).mean(0) for key, value in own.items()
    })


def seed_of(seed: int, name: str) -> int:
    """Stages that follow one another must not see the same pictures in the same order under the same crops."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:3])


def teach(run: Run, stage: Stage) -> Tensor | None:
    """Mean log-probabilities [N, classes] of the stage's teachers on the plain fit pictures, where it needs them."""
    consistent = stage.distillation is not None and stage.distillation.consistent
    hardest = stage.outsiders is not None and stage.outsiders.hardest
    if not stage.teachers or (consistent and not hardest):
        return None
    return torch.stack([run.fit_logits(name).float().log_softmax(1) for name in stage.teachers]).mean(0)


def find_teacher(run: Run, stage: Stage, said: Tensor | None) -> Teacher | None:
    """Who distils; ``said`` is what the teachers say of the plain pictures."""
    if stage.distillation is None:
        return None
    if stage.distillation.consistent:
        return ConsistentTeacher([run.model(name) for name in stage.teachers])
    return None if said is None else StoredTeacher(said)
