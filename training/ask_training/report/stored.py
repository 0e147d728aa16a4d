"""A finished bundle's manifest and predictions: all that ablations and reports need, without data or weights. Only this
file reads manifests; only ``export/manifest.py`` writes them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..data.pictures import DataError
from ..export.manifest import PREDICTIONS
from ..policy.calibrate import Outputs

FORMER = {"sparedValidationAccuracy": "mixedValidationAccuracy"}  # names in older manifests


@dataclass(frozen=True)
class Model:
    id: str
    classes: list[int]  # that it is for
    size: int  # pixels a side of the picture it sees
    precision: str
    temperature: float
    bytes: int
    sha256: str
    figures: dict[str, float]


@dataclass(frozen=True)
class Stored:
    labels: list[str]
    generalist: Model
    experts: list[Model]
    owners: list[int]  # of each class, the expert's index
    scoring: str  # how the expert is chosen
    k: int
    threshold: float
    stages: list[dict[str, Any]]  # what training recorded, stage by stage
    outputs: Outputs
    held: Tensor  # bool [N], pictures that fitted nothing

    @property
    def models(self) -> list[Model]:
        return [self.generalist, *self.experts]

    @property
    def groups(self) -> list[list[int]]:
        return [expert.classes for expert in self.experts]


def read_stored(bundle: Path) -> Stored:
    """Raises DataError if the manifest is of another version than training writes, or if the predictions cannot be read
    or are of other weights than the manifest's."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    if (version := manifest["schemaVersion"]) != 2:
        raise DataError(f"{bundle} has a manifest of version {version}: npm run -s ask -- migrate --models {bundle}")
    generalist, *experts = map(_read_model, read_members(manifest))
    cascade, ids = manifest["strategies"]["ask"], [expert.id for expert in experts]
    routing = cascade["routing"]
    path = bundle / PREDICTIONS
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            digests = json.loads((file.metadata() or {}).get("models", "{}"))
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: {error}") from error
    for model in (generalist, *experts):
        if digests.get(model.id) != model.sha256:
            raise DataError(f"{path}: the predictions of {model.id} are of other weights than the manifest's")
    edge, *others = ((tensors[m.id].float() / m.temperature).log_softmax(1) for m in (generalist, *experts))
    return Stored(
        labels=manifest["labels"], generalist=generalist, experts=experts,
        owners=[ids.index(owner) for owner in routing["classToExpert"]],
        scoring=routing["scoring"]["method"], k=routing["k"], threshold=cascade["gate"]["threshold"],
        stages=manifest.get("provenance", {}).get("stages", []),
        outputs=Outputs(edge, others, tensors["labels"].long()), held=tensors["held"].bool(),
    )


def read_members(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The models of the cascade `ask`, the generalist first: each one's entry with its id, classes and temperature."""
    cascade, models = manifest["strategies"]["ask"], manifest["models"]
    members = [cascade["generalist"] | {"classes": list(range(len(manifest["labels"])))}, *cascade["experts"]]
    return [models[member["model"]] | {"id": member["model"]} | member for member in members]


def _read_model(member: dict[str, Any]) -> Model:
    figures = {FORMER.get(name, name): value for name, value in member["figures"].items()}
    [entry] = member["inputs"].values()
    return Model(
        member["id"], member["classes"], entry["picture"]["networkSide"], member["precision"], member["temperature"],
        member["bytes"], member["sha256"], figures,
    )
