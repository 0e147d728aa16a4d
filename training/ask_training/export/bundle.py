"""The bundle: weights, manifest, golden outputs, and the predictions that calibration and reports read."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save

from ..data.files import digest, write_atomically, write_folder, write_json
from ..data.pictures import held_back
from ..train.run import Run
from .choose_form import export_origin
from .golden import write_golden
from .manifest import PREDICTIONS, fit_policy, make_manifest

CHECKPOINT = "checkpoint.safetensors"


def write_bundle(run: Run, target: Path, command: str) -> None:
    """Writes ``target``: weights, manifest.json, golden.json, validation.safetensors, perhaps checkpoint.safetensors.
    The policy is fitted on one half of validation; the other measures it and stays free for `ask calibrate`. A failure
    leaves what was there. A signature of another manifest than the new one is removed."""
    manifest, signature = target / "manifest.json", target / "manifest.json.sig"
    before = manifest.read_bytes() if manifest.exists() else b""
    write_folder(target, lambda to: _write(run, to, command), last=manifest.name)
    if signature.exists() and manifest.read_bytes() != before:
        signature.unlink()
        print(f"bundle: removed {signature.name}, which was of the manifest before")


def _write(run: Run, target: Path, command: str) -> None:
    for model in run.served():
        _copy_weights(run, model, target)
    policy = fit_policy(run)
    golden = write_golden(run, target)
    kept = run.experiment.checkpoint
    checkpoint = _write_checkpoint(run, kept, target) if kept else None
    _write_predictions(run, target)
    write_json(target / "manifest.json", make_manifest(run, policy, golden, checkpoint, command))
    print(f"bundle: {policy.rule} {policy.figures}")


def _copy_weights(run: Run, model: str, target: Path) -> None:
    export = run.figures(model, "export.json")
    source = run.path(model, f"{export['form']}.onnx")
    if export["origin"] != export_origin(run, model) or export.get("sha256") != digest(source):
        report = run.path(model, "export.json")
        raise ValueError(f"{source} is not what was exported of these weights: remove {report}, export again")
    write_atomically(target / f"{model}.onnx", lambda to: shutil.copyfile(source, to))


def _write_predictions(run: Run, target: Path) -> None:
    """Of the validation pictures: labels uint16 [N], held uint8 [N], rows uint32 [N] (which pictures of the data they
    are) and each model's logits float16 [N, classes] as served. The metadata "models" names the weights: one JSON
    text, since safetensors shuffles several."""
    models = run.served()
    tensors = {model: run.logits(model, "served.npz").half() for model in models}
    tensors["held"] = held_back(len(run.split[1])).to(torch.uint8)
    tensors["rows"] = run.rows[1].to(torch.uint32)
    tensors["labels"] = run.split[1].labels.to(torch.uint16)
    digests = {model: digest(target / f"{model}.onnx") for model in models}
    content = save(tensors, metadata={"models": json.dumps(digests, sort_keys=True)})
    write_atomically(target / PREDICTIONS, lambda to: to.write_bytes(content))


def _write_checkpoint(run: Run, name: str, target: Path) -> dict[str, str]:
    """A trained network in float16, with timm's names: what `--weights` takes."""
    weights = {key: value.half() for key, value in load_file(run.path(name, "safetensors")).items()}
    write_atomically(target / CHECKPOINT, lambda to: to.write_bytes(save(weights)))
    return {"stage": name, "file": CHECKPOINT, "sha256": digest(target / CHECKPOINT)}
