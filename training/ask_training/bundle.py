"""Export of each trained model, then the bundle: weights and manifest."""

import hashlib
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .calibrate import choose_policy, fit_temperature
from .config import Architecture
from .data import SIDE
from .engine import MEAN, STD, pick_device, predict, write_atomically, write_json
from .export import Served, export_float, export_int8, run_onnx
from .golden import golden_pixels, write_golden
from .steps import Run, accuracies, is_mirrored, load_logits, load_model, read_figures
from .vit import VisionTransformer

LARGEST_LOSS = 0.005  # accuracy that 8 bits may cost, on validation
FLOAT_TOLERANCE = 1e-3
INPUT = {"size": SIDE, "fit": "cover", "kernel": "lanczos3", "background": [255, 255, 255]}


def export_model(run: Run, name: str, architecture: Architecture) -> None:
    """Exports one model, checks it against PyTorch, keeps 8 bits if they cost little, stores what it then predicts."""
    report = run.path(name, "export.json")
    if report.exists():
        print(f"{name}: exported before, see {report}")
        return
    _, validation, names = run.load()
    model = load_model(run, name, architecture, len(names))
    mirror = is_mirrored(run, name)
    float_path, int8_path = run.path(name, "float32.onnx"), run.path(name, "int8.onnx")
    export_float(model, SIDE, name == "generalist", float_path, mirror)
    worst = parity(model, float_path, mirror)
    if worst > FLOAT_TOLERANCE:
        raise ArithmeticError(f"{name}: ONNX differs from PyTorch by {worst:.2e}, at most {FLOAT_TOLERANCE} is accepted")
    export_int8(float_path, SIDE, int8_path)

    trained, labels = load_logits(run, name)
    if mirror:
        trained = (trained + predict(model, validation.pixels.flip(-1), pick_device())) / 2
    float_accuracy = (trained.argmax(1) == labels).float().mean().item()
    # One by one as in serving: 8-bit products share one scale over their batch.
    served = torch.from_numpy(run_onnx(int8_path, validation.pixels))
    int8_accuracy = (served.argmax(1) == labels).float().mean().item()
    keep_int8 = float_accuracy - int8_accuracy <= LARGEST_LOSS
    logits = served if keep_int8 else trained
    write_atomically(run.path(name, "served.npz"), lambda to: _save(to, logits.numpy(), labels.numpy()))
    figures = {
        "precision": "int8" if keep_int8 else "float32",
        "float32ValidationAccuracy": round(float_accuracy, 4),
        "int8ValidationAccuracy": round(int8_accuracy, 4),
        "largestOnnxDifference": worst,
    }
    write_json(report, figures)
    print(f"{name}: {figures}")


def _save(path: Path, logits: np.ndarray, labels: np.ndarray) -> None:
    with path.open("wb") as to:
        np.savez(to, logits=logits, labels=labels)


@torch.inference_mode()
def parity(model: VisionTransformer, path: Path, mirror: bool = False) -> float:
    """Largest difference of the logits between PyTorch and onnxruntime on the golden pictures."""
    pixels = golden_pixels()
    expected = Served(model.eval(), SIDE, False, mirror)(pixels.permute(0, 2, 3, 1))
    return float(np.abs(run_onnx(path, pixels) - expected.numpy()).max())


def write_bundle(run: Run, groups: list[list[int]], target: Path, command: str) -> None:
    """Fits the policy on validation and writes ``target``: weights, manifest.json, golden.json."""
    experiment = run.experiment
    fit, _, names = run.load()
    ids = expert_ids(groups)
    temperatures, calibrated = {}, {}
    for name in ["generalist", *ids]:
        logits, labels = load_logits(run, name, "served.npz")
        temperatures[name] = fit_temperature(logits, labels)
        calibrated[name] = (logits / temperatures[name]).log_softmax(1)
    policy = choose_policy(
        calibrated["generalist"], [calibrated[name] for name in ids], groups, labels,
        experiment.operating,
    )
    target.mkdir(parents=True, exist_ok=True)
    everything = list(range(len(names)))
    models = [_entry(run, "generalist", everything, temperatures["generalist"], experiment.generalist, len(names), target)]
    models += [
        _entry(run, name, group, temperatures[name], experiment.expert, len(names), target)
        for name, group in zip(ids, groups)
    ]
    owner = {label: name for name, group in zip(ids, groups) for label in group}
    manifest = {
        "schemaVersion": 1,
        "name": experiment.name,
        "labels": names,
        "input": INPUT,
        "generalist": models[0],
        "experts": models[1:],
        "routing": {
            "k": policy.k,
            "metric": "max-probability",
            "threshold": policy.threshold,
            "classToExpert": [owner[label] for label in everything],
            "merge": {
                "method": "log-linear", "generalistWeight": policy.generalist_weight, "expertWeight": policy.expert_weight,
            },
        },
        "provenance": {
            "data": "CIFAR-100 training set (Krizhevsky, 2009)",
            "dataSha256": fit.digest,
            "validationPictures": experiment.validation,
            "startingWeights": "DeiT-Tiny/16, ImageNet-1k (arXiv:2012.12877)",
            "seed": experiment.seed,
            "command": command,
            "torch": torch.__version__.split("+")[0],
            "machine": platform.machine(),
            "trainingSeconds": sum(read_figures(run, name)["seconds"] for name in ["generalist", "base", *ids]),
            "validation": asdict(policy),
        },
    }
    write_golden(run, ids, names, target)
    write_json(target / "manifest.json", manifest)
    print(f"{target}: {asdict(policy)}")


def expert_ids(groups: list[list[int]]) -> list[str]:
    return [f"expert-{i + 1}" for i in range(len(groups))]


def _entry(
    run: Run, name: str, classes: list[int], temperature: float, architecture: Architecture, labels: int, target: Path
) -> dict[str, Any]:
    export = read_figures(run, name, "export.json")
    source = run.path(name, f"{export['precision']}.onnx")
    content = source.read_bytes()
    write_atomically(target / f"{name}.onnx", lambda to: shutil.copyfile(source, to))
    model = run.build(architecture, labels)
    outputs = {"logits": labels}
    if name == "generalist":
        outputs["attention"] = model.pos_embed.shape[1] - 1
    group = None if name == "generalist" else classes
    figures = accuracies(*load_logits(run, name, "served.npz"), group)
    figures |= {key: export[key] for key in ("float32ValidationAccuracy", "int8ValidationAccuracy")}
    return {
        "id": name,
        "file": f"{name}.onnx",
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "inputSize": architecture.size,
        "mean": list(MEAN),
        "std": list(STD),
        "outputs": outputs,
        "classes": classes,
        "temperature": temperature,
        "precision": export["precision"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "figures": figures,
    }
