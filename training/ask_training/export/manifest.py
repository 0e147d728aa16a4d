"""The manifest of a bundle, schema version 2, and the policy that it holds. Only this file writes manifests; only
``report/stored.py`` reads them."""

import platform
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..data.files import digest
from ..data.pictures import held_back
from ..models.forward import MEAN, STD
from ..policy.calibrate import Outputs, Rule, choose_rule, evaluate, fit_temperature, fit_threshold
from ..policy.gain import FEATURES
from ..train.groups import find_groups, find_owners
from ..train.run import Run, accuracies

PREDICTIONS = "validation.safetensors"


@dataclass(frozen=True)
class Policy:
    """Fitted on one half of validation; the figures are of the other."""

    temperatures: dict[str, float]  # by model
    rule: Rule
    threshold: float
    figures: dict[str, float]


def fit_policy(run: Run) -> Policy:
    groups, operating = find_groups(run), run.experiment.operating
    held = held_back(len(run.split[1]))
    temperatures = fit_temperatures(run, ~held)
    outputs = read_outputs(run, temperatures)
    rule = choose_rule(outputs.at(~held), groups, operating)
    threshold = fit_threshold(outputs.at(~held).confidence(), operating.escalation)
    return Policy(temperatures, rule, threshold, evaluate(rule, threshold, outputs.at(held), groups))


def fit_temperatures(run: Run, part: Tensor) -> dict[str, float]:
    labels = run.split[1].labels
    return {model: fit_temperature(run.logits(model, "served.npz")[part], labels[part]) for model in run.served()}


def read_outputs(run: Run, temperatures: dict[str, float]) -> Outputs:
    """Log-probabilities of the models as served on all validation pictures, as exact as in validation.safetensors."""
    edge, *experts = (
        (run.logits(model, "served.npz").half().float() / t).log_softmax(1) for model, t in temperatures.items()
    )
    return Outputs(edge, experts, run.split[1].labels)


def make_manifest(
    run: Run, policy: Policy, golden: dict[str, str], checkpoint: dict[str, str] | None, command: str
) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "name": run.experiment.name,
        "labels": run.source.names,
        "models": {model: _entry(run, model) for model in run.served()},
        "strategies": {
            "ask": _cascade(run, policy),
            "edge": {"kind": "edge-only", "of": "ask"},
            "expert": {"kind": "always-expert", "of": "ask"},
        },
        "golden": golden,
        "provenance": _provenance(run, policy, command) | ({"checkpoint": checkpoint} if checkpoint else {}),
    }


def _cascade(run: Run, policy: Policy) -> dict[str, Any]:
    generalist, *experts = run.served()
    owners = [experts[owner] for owner in find_owners(run)]
    return {
        "kind": "cascade",
        "generalist": {"model": generalist, "temperature": policy.temperatures[generalist]},
        "experts": [
            {"model": expert, "classes": group, "temperature": policy.temperatures[expert]}
            for expert, group in zip(experts, find_groups(run), strict=True)
        ],
        "gate": {"measure": "max-probability", "escalates": "below", "threshold": policy.threshold},
        "routing": routing_of(policy.rule, experts) | {"classToExpert": owners, "encoding": {"format": "rgb8"}},
    }


def routing_of(rule: Rule, experts: list[str]) -> dict[str, Any]:
    """What the rule decides of it."""
    scoring: dict[str, Any] = {"method": rule.scoring}
    if rule.scoring == "expected-gain":
        scoring["weights"] = dict(zip(FEATURES, rule.weights))
        scoring["intercepts"] = dict(zip(experts, rule.weights[len(FEATURES) :]))
    merge = {"method": "log-linear", "generalistWeight": rule.generalist_weight, "expertWeight": rule.expert_weight}
    return {"k": rule.k, "scoring": scoring, "merge": merge}


def _entry(run: Run, model: str) -> dict[str, Any]:
    export = run.figures(model, "export.json")
    source = run.path(model, f"{export['form']}.onnx")
    network, side = run.model(run.served()[model]), run.experiment.side
    outputs = {"logits": run.classes}
    if run.exports[model][0].attention:
        outputs["attention"] = network.patches
    picture = {
        "side": side, "fit": "cover", "kernel": "lanczos3", "background": [255, 255, 255], "range": [0, 255],
        "networkSide": network.size, "mean": list(MEAN), "std": list(STD),
    }
    return {
        "file": f"{model}.onnx",
        "sha256": export["sha256"],
        "bytes": source.stat().st_size,
        "inputs": {"pixels": {"type": "uint8", "shape": ["batch", side, side, 3], "picture": picture}},
        "outputs": {name: {"type": "float32", "shape": ["batch", length]} for name, length in outputs.items()},
        "precision": "float32" if export["form"] == "float32" else "int8",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "figures": _figures(run, model, export),
    }


def _figures(run: Run, model: str, export: dict[str, Any]) -> dict[str, float]:
    """Accuracies on validation, as served and in each form that was tried."""
    groups = dict(zip(list(run.served())[1:], find_groups(run), strict=True))
    stored = run.logits(model, "served.npz").half().float()  # as reports read them
    figures = accuracies(stored, run.split[1].labels, groups.get(model))
    return figures | {f"{form}ValidationAccuracy": accuracy for form, accuracy in export["accuracies"].items()}


def _provenance(run: Run, policy: Policy, command: str) -> dict[str, Any]:
    experiment, groups = run.experiment, find_groups(run)
    held = held_back(len(run.split[1]))
    return {
        "data": run.source.title,
        "dataSha256": run.source.digest,
        "licences": experiment.licences,
        "validationPictures": len(held),
        "heldPictures": int(held.sum()),
        "startingWeights": digest(run.weights) if run.weights else None,
        "experiment": asdict(experiment),
        "seed": experiment.seed,
        "command": command,
        "torch": torch.__version__.split("+")[0],
        "machine": platform.machine(),
        "stages": [_history(run, name, groups) for stage in experiment.stages for name in run.results(stage)],
        "held": {"threshold": policy.threshold} | policy.figures,
    }


def _history(run: Run, name: str, groups: list[list[int]]) -> dict[str, Any]:
    """What a trained network cost and reached; of one for all groups, also on the classes of each."""
    figures = run.figures(name)
    kept = (
        "pictures", "seconds", "device", "processor", "torch", "finalLoss", "validationAccuracy",
        "validationAccuracyOwnClasses",
    )
    history = {"name": name} | {key: figures[key] for key in kept if key in figures}
    if run.stage_of(name).pictures == "all":
        logits, labels = run.logits(name), run.split[1].labels
        history["byGroup"] = [accuracies(logits, labels, group)["validationAccuracyOwnClasses"] for group in groups]
    return history
