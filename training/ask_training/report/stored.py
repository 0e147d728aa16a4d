"""What a finished bundle says of its validation pictures: all that ablations and reports need, without data or weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ..data.pictures import DataError
from ..export.bundle import PREDICTIONS
from ..policy.calibrate import Outputs


@dataclass(frozen=True)
class Stored:
    manifest: dict[str, Any]
    outputs: Outputs
    held: Tensor  # bool [N], pictures that fitted nothing

    @property
    def groups(self) -> list[list[int]]:
        return [expert["classes"] for expert in self.manifest["experts"]]

    @property
    def owners(self) -> list[int]:
        ids = [expert["id"] for expert in self.manifest["experts"]]
        return [ids.index(owner) for owner in self.manifest["routing"]["classToExpert"]]


def read_stored(bundle: Path) -> Stored:
    """Raises DataError if the predictions cannot be read or are of other weights than the manifest's."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    path = bundle / PREDICTIONS
    models = [manifest["generalist"], *manifest["experts"]]
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            digests = json.loads((file.metadata() or {}).get("models", "{}"))
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: {error}") from error
    for model in models:
        if digests.get(model["id"]) != model["sha256"]:
            raise DataError(f"{path}: the predictions of {model['id']} are of other weights than the manifest's")
    edge, *experts = ((tensors[m["id"]].float() / m["temperature"]).log_softmax(1) for m in models)
    return Stored(manifest, Outputs(edge, experts, tensors["labels"].long()), tensors["held"].bool())
