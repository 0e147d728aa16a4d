"""The bundle: weights, manifest, golden outputs, and the predictions that calibration and reports read."""

import json
import platform
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from ..data.files import digest, write_atomically, write_folder, write_json
from ..data.pictures import held_back
from ..models.forward import MEAN, STD
from ..policy.calibrate import Outputs, choose_rule, evaluate, fit_temperature, fit_threshold
from ..train.groups import find_groups, find_owners
from ..train.run import Run, accuracies
from .choose_form import export_origin
from .golden import write_golden

PREDICTIONS = "validation.safetensors"
CHECKPOINT = "checkpoint.safetensors"


def write_bundle(run: Run, target: Path, command: str) -> None:
    """Fits the policy on one half of validation, measures it on the other, which stays free for `ask calibrate`, and
    writes ``target``: weights, manifest.json, golden.json, validation.safetensors, perhaps checkpoint.safetensors. If
    that fails, what was there before stays. A signature of another manifest than the new one is removed."""
    manifest, signature = target / "manifest.json", target / "manifest.json.sig"
    before = manifest.read_bytes() if manifest.exists() else b""
    write_folder(target, lambda to: _write(run, to, command), last=manifest.name)
    if signature.exists() and manifest.read_bytes() != before:
        signature.unlink()
        print(f"bundle: removed {signature.name}, which was of the manifest before")


def _write(run: Run, target: Path, command: str) -> None:
    experiment = run.experiment
    groups, owners = find_groups(run), find_owners(run)
    served = run.served()
    ids = [model for model in served if model != "generalist"]
    held = held_back(len(run.split[1]))
    temperatures = fit_temperatures(run, ~held)
    outputs = read_outputs(run, temperatures)
    rule = choose_rule(outputs.at(~held), groups, experiment.operating)
    threshold = fit_threshold(outputs.at(~held).confidence(), experiment.operating.escalation)
    figures = evaluate(rule, threshold, outputs.at(held), groups)
    everything = list(range(run.classes))
    models = [
        _entry(run, model, everything if model == "generalist" else groups[ids.index(model)], temperatures[model], target)
        for model in served
    ]
    manifest = {
        "schemaVersion": 1,
        "name": experiment.name,
        "labels": run.source.names,
        "input": {"size": experiment.side, "fit": "cover", "kernel": "lanczos3", "background": [255, 255, 255]},
        "generalist": models[0],
        "experts": models[1:],
        "golden": write_golden(run, target),
        "routing": rule.manifest(ids) | {
            "metric": "max-probability",
            "threshold": threshold,
            "classToExpert": [ids[owners[label]] for label in everything],
        },
        "provenance": {
            "data": run.source.title,
            "dataSha256": run.source.digest,
            "validationPictures": len(held),
            "heldPictures": int(held.sum()),
            "startingWeights": digest(run.weights) if run.weights else None,
            "experiment": asdict(experiment),
            "seed": experiment.seed,
            "command": command,
            "torch": torch.__version__.split("+")[0],
            "machine": platform.machine(),
            "stages": [_history(run, name, groups) for stage in experiment.stages for name in run.results(stage)],
            "held": {"threshold": threshold} | figures,
        },
    }
    _write_predictions(run, models, held, target)
    if experiment.bundle.checkpoint:
        manifest["provenance"]["checkpoint"] = _write_checkpoint(run, experiment.bundle.checkpoint, target)
    write_json(target / "manifest.json", manifest)
    print(f"bundle: {rule} {figures}")


def fit_temperatures(run: Run, part: Tensor) -> dict[str, float]:
    labels = run.split[1].labels
    return {model: fit_temperature(run.logits(model, "served.npz")[part], labels[part]) for model in run.served()}


def read_outputs(run: Run, temperatures: dict[str, float]) -> Outputs:
    """What the models as served say of all validation pictures, as exactly as validation.safetensors holds it."""
    edge, *experts = (
        (run.logits(model, "served.npz").half().float() / t).log_softmax(1) for model, t in temperatures.items()
    )
    return Outputs(edge, experts, run.split[1].labels)


def _entry(run: Run, model: str, classes: list[int], temperature: float, target: Path) -> dict[str, Any]:
    """Copies the model's weights and says what the manifest says of them."""
    export = run.figures(model, "export.json")
    source = run.path(model, f"{export['form']}.onnx")
    if export["origin"] != export_origin(run, model) or export.get("sha256") != digest(source):
        raise ValueError(f"{source} is not what was exported of these weights: remove {run.path(model, 'export.json')}, export again")
    write_atomically(target / f"{model}.onnx", lambda to: shutil.copyfile(source, to))
    name = run.served()[model]
    network = run.build(run.stage_of(name))
    outputs = {"logits": run.classes}
    if model == "generalist":
        outputs["attention"] = network.pos_embed.shape[1] - 1
    stored = run.logits(model, "served.npz").half().float()  # as reports read them
    figures = accuracies(stored, run.split[1].labels, None if model == "generalist" else classes)
    return {
        "id": model,
        "file": f"{model}.onnx",
        "sha256": digest(source),
        "bytes": source.stat().st_size,
        "inputSize": network.size,
        "mean": list(MEAN),
        "std": list(STD),
        "outputs": outputs,
        "classes": classes,
        "temperature": temperature,
        "precision": "float32" if export["form"] == "float32" else "int8",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "figures": figures | {f"{form}ValidationAccuracy": accuracy for form, accuracy in export["accuracies"].items()},
    }


def _history(run: Run, name: str, groups: list[list[int]]) -> dict[str, Any]:
    """What a trained network cost and reached; one for all groups also on the classes of each."""
    figures = run.figures(name)
    kept = ("pictures", "seconds", "device", "processor", "torch", "finalLoss", "validationAccuracy", "validationAccuracyOwnClasses")
    history = {"name": name} | {key: figures[key] for key in kept if key in figures}
    if run.stage_of(name).pictures == "all":
        logits, labels = run.logits(name), run.split[1].labels
        history["byGroup"] = [accuracies(logits, labels, group)["validationAccuracyOwnClasses"] for group in groups]
    return history


def _write_predictions(run: Run, models: list[dict[str, Any]], held: Tensor, target: Path) -> None:
    """On the validation pictures: labels uint16 [N], held uint8 [N], rows uint32 [N], which pictures of the data they are,
    and, per model, its logits float16 [N, classes] as served. The metadata "models" name the weights they are of: one JSON text, since safetensors shuffles several."""
    tensors = {model["id"]: run.logits(model["id"], "served.npz").half() for model in models}
    tensors["held"] = held.to(torch.uint8)
    tensors["rows"] = run.rows[1].to(torch.uint32)
    tensors["labels"] = run.split[1].labels.to(torch.uint16)
    digests = {model["id"]: model["sha256"] for model in models}
    content = save(tensors, metadata={"models": json.dumps(digests, sort_keys=True)})
    write_atomically(target / PREDICTIONS, lambda to: to.write_bytes(content))


def _write_checkpoint(run: Run, name: str, target: Path) -> dict[str, str]:
    """A trained network in float16, with timm's names: what `--weights` takes."""
    weights = {key: value.half() for key, value in load_file(run.path(name, "safetensors")).items()}
    write_atomically(target / CHECKPOINT, lambda to: to.write_bytes(save(weights)))
    return {"stage": name, "file": CHECKPOINT, "sha256": digest(target / CHECKPOINT)}
