"""The training steps. Each is one command, is skipped when its result exists, and writes its figures beside it.

A run folder holds, per model: NAME.safetensors (weights), NAME.json (figures), NAME.npz (validation logits), and
while it trains NAME.checkpoint.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .config import Architecture, Experiment, Stage
from .data import Pictures, read_names, read_records, split
from .engine import pick_device, predict, train_stage, write_atomically, write_json
from .groups import confusion, group_classes
from .vit import VisionTransformer, load_weights


@dataclass(frozen=True)
class Run:
    experiment: Experiment
    folder: Path
    data: Path  # folder with train.bin and fine_label_names.txt
    weights: Path  # the checkpoint that the generalist starts from

    def load(self) -> tuple[Pictures, Pictures, list[str]]:
        """Fit pictures, validation pictures and label names."""
        names = read_names(self.data / "fine_label_names.txt")
        pictures = read_records(self.data / "train.bin", len(names))
        fit, validation = split(pictures.labels, self.experiment.validation, self.experiment.seed)
        return pictures.at(fit), pictures.at(validation), names

    def build(self, architecture: Architecture, classes: int) -> VisionTransformer:
        torch.manual_seed(self.experiment.seed)
        return VisionTransformer(classes=classes, **asdict(architecture))

    def path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}.{suffix}"


def train_generalist(run: Run) -> None:
    """Whole set, from the starting weights, at the generalist's size."""
    fit, validation, names = run.load()
    pools = [torch.arange(len(fit))]
    _train(run, "generalist", run.experiment.generalist, run.weights, run.experiment.generalist_stage, fit, validation,
           pools, len(names))


def train_base(run: Run) -> None:
    """First stage of every expert: the whole set at the experts' size, starting from the generalist."""
    fit, validation, names = run.load()
    pools = [torch.arange(len(fit))]
    _train(run, "base", run.experiment.expert, run.path("generalist", "safetensors"), run.experiment.base_stage, fit,
           validation, pools, len(names))


def train_expert(run: Run, expert: str, classes: list[int]) -> None:
    """Second stage: all pictures of the expert's classes, and each epoch another draw of the rest."""
    fit, validation, names = run.load()
    stage = run.experiment.expert_stage
    pools = expert_pools(fit.labels, classes, stage, run.experiment.seed)
    _train(run, expert, run.experiment.expert, run.path("base", "safetensors"), stage, fit, validation, pools,
           len(names), classes)


def expert_pools(labels: Tensor, classes: list[int], stage: Stage, seed: int) -> list[Tensor]:
    """Indices of each epoch's pictures: the whole group, and ``stage.outsiders`` times as many from outside it."""
    own = torch.isin(labels, torch.tensor(classes))
    inside, outside = own.nonzero()[:, 0], (~own).nonzero()[:, 0]
    count = min(len(outside), round(stage.outsiders * len(inside)))
    generator = torch.Generator().manual_seed(seed)
    epochs = max(1, int(-(-stage.epochs // 1)))
    return [
        torch.cat([inside, outside[torch.randperm(len(outside), generator=generator)[:count]]]) for _ in range(epochs)
    ]


def _train(
    run: Run, name: str, architecture: Architecture, start: Path, stage: Stage, fit: Pictures, validation: Pictures,
    pools: list[Tensor], classes: int, group: list[int] | None = None,
) -> None:
    if run.path(name, "json").exists():
        print(f"{name}: done before, see {run.path(name, 'json')}")
        return
    if not start.exists():
        raise FileNotFoundError(f"{start} is missing: it is what {name} starts from")
    run.folder.mkdir(parents=True, exist_ok=True)
    model = run.build(architecture, classes)
    load_weights(model, start)
    checkpoint = run.path(name, "checkpoint")
    figures = train_stage(model, fit, pools, stage, run.experiment.seed, checkpoint, name)
    weights = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    write_atomically(run.path(name, "safetensors"), lambda to: save_file(weights, to))
    logits = predict(model, validation.pixels, pick_device())
    write_atomically(run.path(name, "npz"), lambda to: _save_logits(to, logits, validation.labels))
    figures |= {"architecture": asdict(architecture), "stage": asdict(stage)} | accuracies(logits, validation.labels, group)
    write_json(run.path(name, "json"), figures)
    checkpoint.unlink(missing_ok=True)
    print(f"{name}: {figures}")


def accuracies(logits: Tensor, labels: Tensor, group: list[int] | None) -> dict[str, Any]:
    right = logits.argmax(1) == labels
    figures = {"validationAccuracy": round(right.float().mean().item(), 4)}
    if group is not None:
        own = torch.isin(labels, torch.tensor(group))
        figures["validationAccuracyOwnClasses"] = round(right[own].float().mean().item(), 4)
    return figures


def _save_logits(path: Path, logits: Tensor, labels: Tensor) -> None:
    with path.open("wb") as to:
        np.savez(to, logits=logits.numpy(), labels=labels.numpy())


def load_model(run: Run, name: str, architecture: Architecture, classes: int) -> VisionTransformer:
    model = run.build(architecture, classes)
    load_weights(model, load_file(run.path(name, "safetensors")))
    return model.eval()


def load_logits(run: Run, name: str, suffix: str = "npz") -> tuple[Tensor, Tensor]:
    """Stored validation logits [N, classes] and labels [N] of a model: as trained, or with ``served.npz`` as served."""
    with np.load(run.path(name, suffix)) as stored:
        return torch.from_numpy(stored["logits"]), torch.from_numpy(stored["labels"])


def read_figures(run: Run, name: str, suffix: str = "json") -> dict[str, Any]:
    return json.loads(run.path(name, suffix).read_text())


def find_groups(run: Run) -> list[list[int]]:
    """Groups the classes by the generalist's validation confusions, once; later calls read the result."""
    path = run.folder / "groups.json"
    if not path.exists():
        logits, labels = load_logits(run, "generalist")
        affinity = confusion(logits, labels)
        groups = group_classes(affinity, run.experiment.groups)
        inside = sum(affinity[group][:, group].sum().item() for group in groups)
        names = read_names(run.data / "fine_label_names.txt")
        figures = {
            "groups": groups,
            "names": [[names[label] for label in group] for group in groups],
            "confusionInside": round(inside / affinity.sum().item(), 4),
        }
        write_json(path, figures)
        print(f"groups: {figures}")
    return json.loads(path.read_text())["groups"]


def is_mirrored(run: Run, name: str) -> bool:
    return run.experiment.mirror_experts and name != "generalist"
