"""A run folder and what it holds of each model: NAME.safetensors (weights), NAME.json (figures), NAME.npz (validation
logits), NAME.fit.npz (logits on the fit pictures, once something needs them) and, while it trains, NAME.checkpoint.
settings.json holds the settings in force."""

import json
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from ..data.files import write_atomically, write_json
from ..data.pictures import Pictures, split
from ..data.sources import Source, read_source
from ..experiment.config import PATCH, Architecture, Experiment
from ..experiment.exports import AnyExport
from ..experiment.stage import Stage
from ..models.forward import autocast, pick_device, predict
from ..models.shape import Shape, head_count, read_shape
from ..models.vit import VisionTransformer
from ..models.weights import load_weights

cached_source = cache(read_source)


@dataclass(frozen=True)
class Run:
    experiment: Experiment
    folder: Path
    data: Path  # see sources.read_source
    weights: Path | None  # the checkpoint that stages with start = "weights" begin from
    common: Path | None = None  # where stages that no groups decide are kept, for other runs; default: folder

    @cached_property
    def source(self) -> Source:
        return cached_source(self.data, self.experiment.side)

    @cached_property
    def rows(self) -> tuple[Tensor, Tensor]:
        """Where fit and validation pictures lie in the data."""
        pictures = self.source.pictures
        names, seed = self.source.names, self.experiment.split_seed
        fit, validation = split(pictures.labels, self.experiment.validation, seed, names)
        if self.experiment.subset < 1:
            fit = fit[split(pictures.labels[fit], self.experiment.subset, seed, names)[1]]
        return fit, validation

    @cached_property
    def split(self) -> tuple[Pictures, Pictures]:
        """Fit and validation pictures."""
        fit, validation = self.rows
        return self.source.pictures.at(fit), self.source.pictures.at(validation)

    @property
    def classes(self) -> int:
        return len(self.source.names)

    def path(self, name: str, suffix: str) -> Path:
        shared = any(stage.name == name for stage in self.experiment.stages) and not self.experiment.grouped(name)
        return (self.common if shared and self.common else self.folder) / f"{name}.{suffix}"

    def results(self, stage: Stage) -> list[str]:
        return self.experiment.results(stage)

    @cached_property
    def exports(self) -> dict[str, tuple[AnyExport, str]]:
        """Of each model, by its id: what is exported, and of which result."""
        found = {}
        for export in self.experiment.exports:
            results = self.results(self.experiment.stage(export.stage))
            for i, model in enumerate(self.experiment.ids(export)):
                found[model] = (export, results[min(i, len(results) - 1)])
        return found

    def served(self) -> dict[str, str]:
        """Which result each model of the cascade is, by the model's id; the generalist first."""
        cascade = self.experiment.cascade
        roles = (cascade.generalist, cascade.experts)
        models = [model for role in roles for model, (export, _) in self.exports.items() if export.model == role]
        return {model: self.exports[model][1] for model in models}

    def write_settings(self) -> None:
        """All settings in force, defaults included, as settings.json."""
        settings, path = asdict(self.experiment), self.folder / "settings.json"
        if not path.exists() or json.loads(path.read_text()) != settings:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, settings)

    def architecture(self, stage: Stage) -> Architecture:
        """Complete: what the configuration leaves out is that of the starting weights."""
        known, shape = self.experiment.architectures[stage.architecture], self.shape(stage)
        heads, where = head_count(shape.width, known.heads), f"architecture {stage.architecture!r}"
        if known.size % shape.patch:
            raise ValueError(f"{where}: size must be a multiple of {shape.patch}, got {known.size}")
        if shape.width % heads:
            raise ValueError(f"{where}: width must be a multiple of heads, got {shape.width} and {heads}")
        return Architecture(known.size, shape.width, shape.depth, heads, known.drop_path, shape.patch)

    def shape(self, stage: Stage) -> Shape:
        known = self.experiment.architectures[stage.architecture]
        if stage.start == "scratch":
            return Shape(known.width, known.depth, known.patch or PATCH)
        found = self._read_shape(stage) if stage.start == "weights" else self.shape(self.experiment.stage(stage.start))
        return Shape(known.width or found.width, known.depth or found.depth, known.patch or found.patch, found.form)

    def _read_shape(self, stage: Stage) -> Shape:
        """Of the checkpoint of the command line or, where none is named, of what was trained from it."""
        trained = self.path(self.results(stage)[0], "safetensors")
        return read_shape(trained if self.weights is None and trained.exists() else self.starting_weights(stage))

    def starting_weights(self, stage: Stage) -> Path:
        """The checkpoint of the command line, for a stage that starts from it."""
        if self.weights is None:
            raise ValueError(f"stage {stage.name!r} starts from weights: name them with --weights")
        if not self.weights.exists():
            raise FileNotFoundError(f"{self.weights} is missing: it is what {stage.name} starts from")
        return self.weights

    def build(self, stage: Stage) -> VisionTransformer:
        torch.manual_seed(self.experiment.seed)
        return VisionTransformer(classes=self.classes, form=self.shape(stage).form, **asdict(self.architecture(stage)))

    def stage_of(self, name: str) -> Stage:
        return next(stage for stage in self.experiment.stages if name in self.results(stage))

    def model(self, name: str) -> VisionTransformer:
        model = self.build(self.stage_of(name))
        load_weights(model, self.path(name, "safetensors"))
        return model.eval()

    def logits(self, name: str, suffix: str = "npz") -> Tensor:
        """Stored validation logits [N, classes] of a model: as trained, or with ``served.npz`` as served."""
        return load_logits(self.path(name, suffix))

    def fit_logits(self, name: str) -> Tensor:
        """float16 logits [N, classes] on the plainly resized fit pictures, as exact as training needs. Computed
        once."""
        path = self.path(name, "fit.npz")
        if not path.exists():
            print(f"{name}: predicting the fit pictures", flush=True)
            with autocast(pick_device()):
                logits = predict(self.model(name), self.split[0].pixels, pick_device())
            save_logits(path, logits.half())
        return load_logits(path)

    def figures(self, name: str, suffix: str = "json") -> dict[str, Any]:
        return json.loads(self.path(name, suffix).read_text())


def save_logits(path: Path, logits: Tensor) -> None:
    def write(to: Path) -> None:
        with to.open("wb") as file:
            np.savez(file, logits=logits.numpy())

    write_atomically(path, write)


def load_logits(path: Path) -> Tensor:
    """Raises ValueError naming the file if it is broken."""
    try:
        with np.load(path) as stored:
            return torch.from_numpy(stored["logits"])
    except (BadZipFile, KeyError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is broken, remove it and what is named like it: {error}") from error


def accuracies(logits: Tensor, labels: Tensor, group: list[int] | None) -> dict[str, float]:
    right = logits.argmax(1) == labels
    figures = {"validationAccuracy": round(right.float().mean().item(), 4)}
    if group is not None:
        own = torch.isin(labels, torch.tensor(group))
        figures["validationAccuracyOwnClasses"] = round(right[own].float().mean().item(), 4)
    return figures
