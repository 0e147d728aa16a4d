"""From a trained network to the file that is served: export, comparison with PyTorch, the best of the 8-bit forms."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.files import digest, write_json
from ..data.pictures import held_back
from ..experiment.exports import AnyExport, Whole
from ..models.forward import pick_device, predict
from ..models.weights import at_size
from ..train.run import Run, accuracies, save_logits
from .graphs import make_graph
from .onnx_files import describe, largest_difference, run_onnx, write_graph
from .quantise import fuse_products, most_sensitive, quantise_dynamic, quantise_static

LARGEST_LOSS = 0.003  # of accuracy, by 8 bits, on the half of validation that everything is fitted on
FLOAT_TOLERANCE = 1e-3
CALIBRATION = 200  # fit pictures that fix the scales of static quantisation
FLOAT_PRODUCTS = 4  # products that mixed precision leaves in float
PREFERRED = ("static", "dynamic")


def export_model(run: Run, model: str) -> None:
    """Exports the model of that id and holds it against PyTorch. A whole graph is then served in the best of its 8-bit
    forms, a part of one in float32."""
    if run.experiment.cascade.head != "full":
        raise ValueError("head = 'group' is for comparisons: exported experts answer for all classes")
    report, (export, name) = run.path(model, "export.json"), run.exports[model]
    origin = export_origin(run, model)
    made = run.figures(model, "export.json") if report.exists() else {}
    if made.get("origin") == origin and "sha256" in made:
        print(f"{model}: exported before, see {report}")
        return
    path = run.path(model, "float32.onnx")
    graph = make_graph(export, run.model(name), run.experiment.side)
    write_graph(graph, path)
    worst = largest_difference(graph, path)
    if not worst <= FLOAT_TOLERANCE:
        allowed = f"at most {FLOAT_TOLERANCE} is accepted"
        raise ArithmeticError(f"{model}: ONNX differs from PyTorch by {worst:.2e}, {allowed}")
    form = choose_form(run, model) if isinstance(export, Whole) else {"form": "float32", **describe(path)}
    digested = {"sha256": digest(run.path(model, f"{form['form']}.onnx"))}
    figures = form | digested | {"largestOnnxDifference": worst, "origin": origin}
    write_json(report, figures)
    print(f"{model}: {figures}")


def choose_form(run: Run, model: str) -> dict[str, Any]:
    """Compares a whole graph's 8-bit forms on validation. The first in order of preference that costs at most
    ``LARGEST_LOSS`` is served, or float32; what it predicts is stored. Mixed precision is slower than the other forms,
    and tried only where they cost more.

    The static form is preferred: its answer to a picture does not depend on the rest of the batch."""
    fit, validation = run.split
    export, _ = run.exports[model]
    paths = {form: run.path(model, f"{form}.onnx") for form in ("float32", *WRITERS)}
    calibration = fit.pixels[:: max(1, len(fit) // CALIBRATION)]
    used = ~held_back(len(validation))
    logits = {"float32": trained_logits(run, model)}

    def lost(form: str) -> float:
        right = {
            name: (logits[name][used].argmax(1) == validation.labels[used]).double().mean().item()
            for name in ("float32", form)
        }
        return right["float32"] - right[form]

    for form, write in WRITERS.items():
        if form not in PREFERRED and any(lost(other) <= LARGEST_LOSS for other in PREFERRED):
            break  # it is slower than either
        write(paths, calibration)
        if export.processor == "cpu" and form != "dynamic":
            fuse_products(paths[form])
        logits[form] = torch.from_numpy(run_onnx(paths[form], validation.pixels))
    kept = next((form for form in [*logits][1:] if lost(form) <= LARGEST_LOSS), "float32")
    save_logits(run.path(model, "served.npz"), logits[kept])
    return {
        "form": kept,
        "accuracies": {
            form: accuracies(values, validation.labels, None)["validationAccuracy"] for form, values in logits.items()
        },
    }


def trained_logits(run: Run, model: str) -> Tensor:
    """Of the network as trained, and of its second look, on the validation pictures."""
    export, name = run.exports[model]
    logits = run.logits(name)
    if not export.second_look:
        return logits
    smaller = at_size(run.model(name), export.second_look)
    return (logits + predict(smaller, run.split[1].pixels.flip(-1), pick_device())) / 2


def export_origin(run: Run, model: str) -> dict[str, Any]:
    """All that decides what an export is, beside the stages and the data that its weights are of."""
    export, name = run.exports[model]
    return {"weights": digest(run.path(name, "safetensors")), "side": run.experiment.side} | settings_of(export)


def settings_of(export: AnyExport) -> dict[str, Any]:
    return {key: value for key, value in vars(export).items() if key not in ("model", "stage", "per_group")}


def write_mixed(paths: dict[str, Path], pixels: Tensor) -> None:
    """Mixed precision: the most sensitive products stay in float."""
    in_float = most_sensitive(paths["float32"], pixels[:: max(1, len(pixels) // 16)], FLOAT_PRODUCTS)
    quantise_static(paths["float32"], paths["mixed"], pixels, in_float)


WRITERS = {  # in order of preference
    "static": lambda paths, pixels: quantise_static(paths["float32"], paths["static"], pixels),
    "dynamic": lambda paths, pixels: quantise_dynamic(paths["float32"], paths["dynamic"]),
    "mixed": write_mixed,
}
