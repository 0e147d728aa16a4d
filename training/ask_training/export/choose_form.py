"""From a trained network to the file that is served: export, check against PyTorch, the best of the 8-bit forms."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.files import digest, write_json
from ..data.pictures import held_back
from ..models.forward import pick_device, predict
from ..models.vit import VisionTransformer
from ..models.weights import at_size
from ..train.run import Run, accuracies, save_logits
from .golden import golden_pixels
from .graph import Served, export_float, run_onnx
from .quantise import fuse_products, most_sensitive, quantise_dynamic, quantise_static

LARGEST_LOSS = 0.003  # accuracy that 8 bits may cost, on the half of validation that fits things
FLOAT_TOLERANCE = 1e-3
CALIBRATION = 200  # fit pictures that fix the scales of static quantisation
SPARED = 4  # products that the most careful form leaves in float


def export_model(run: Run, model: str) -> None:
    """Exports the model of that id, checks it against PyTorch, compares its 8-bit forms on validation, and keeps the
    first in order of preference that costs at most ``LARGEST_LOSS``, or float32. Stores what it then predicts. The
    slowest form, with products left in float, is tried where the others cost more.

    The static form is preferred: pictures that wait together are computed together, and an answer should not depend on
    its company. The generalist's is made for CPUs; experts may run on accelerators, too."""
    if run.experiment.bundle.head != "full":
        raise ValueError("head = 'group' is for comparisons: exported experts answer for all classes")
    report, name = run.path(model, "export.json"), run.served()[model]
    origin = export_origin(run, model)
    made = run.figures(model, "export.json") if report.exists() else {}
    if made.get("origin") == origin and "sha256" in made:
        print(f"{model}: exported before, see {report}")
        return
    fit, validation = run.split
    network = run.model(name)
    generalist = model == "generalist"
    second = run.second_look(model)
    paths = {form: run.path(model, f"{form}.onnx") for form in ("float32", *WRITERS)}
    export_float(network, run.experiment.side, generalist, paths["float32"], second)
    worst = parity(network, run.experiment.side, paths["float32"], second)
    if not worst <= FLOAT_TOLERANCE:
        raise ArithmeticError(f"{model}: ONNX differs from PyTorch by {worst:.2e}, at most {FLOAT_TOLERANCE} is accepted")
    calibration = fit.pixels[:: max(1, len(fit) // CALIBRATION)]
    trained = run.logits(name)
    if second:
        trained = (trained + predict(at_size(network, second), validation.pixels.flip(-1), pick_device())) / 2
    used = ~held_back(len(validation))
    logits = {"float32": trained}

    def lost(form: str) -> float:
        right = {name: (logits[name][used].argmax(1) == validation.labels[used]).double().mean().item() for name in ("float32", form)}
        return right["float32"] - right[form]

    preferred = ["static", "dynamic"]
    for form in (*preferred, "spared"):
        if form == "spared" and any(lost(other) <= LARGEST_LOSS for other in preferred):
            break  # it is slower than either
        WRITERS[form](paths, calibration)
        if generalist and form != "dynamic":
            fuse_products(paths[form])
        logits[form] = torch.from_numpy(run_onnx(paths[form], validation.pixels))
    form = next((form for form in [*logits][1:] if lost(form) <= LARGEST_LOSS), "float32")
    save_logits(run.path(model, "served.npz"), logits[form])
    accuracy = {name: accuracies(values, validation.labels, None)["validationAccuracy"] for name, values in logits.items()}
    figures = {
        "form": form, "sha256": digest(paths[form]), "accuracies": accuracy, "largestOnnxDifference": worst, "origin": origin,
    }
    write_json(report, figures)
    print(f"{model}: {figures}")


def export_origin(run: Run, model: str) -> dict[str, Any]:
    """All that decides what an export is, beside the stages and the data that its weights are of."""
    weights = digest(run.path(run.served()[model], "safetensors"))
    return {"weights": weights, "side": run.experiment.side, "second_look": run.second_look(model)}


def write_spared(paths: dict[str, Path], pixels: Tensor) -> None:
    spare = most_sensitive(paths["float32"], pixels[:: max(1, len(pixels) // 16)], SPARED)
    quantise_static(paths["float32"], paths["spared"], pixels, spare)


WRITERS = {
    "dynamic": lambda paths, pixels: quantise_dynamic(paths["float32"], paths["dynamic"]),
    "static": lambda paths, pixels: quantise_static(paths["float32"], paths["static"], pixels),
    "spared": write_spared,
}


@torch.inference_mode()
def parity(network: VisionTransformer, side: int, path: Path, second: int = 0) -> float:
    """Largest difference of the logits between PyTorch and onnxruntime on the golden pictures."""
    pixels = golden_pixels(side)
    expected = Served(network.eval(), side, False, second)(pixels.permute(0, 2, 3, 1))
    return float(np.abs(run_onnx(path, pixels) - expected.numpy()).max())
