"""The tables of a report and of the model card, as Markdown."""

import json
from pathlib import Path

from . import ablate
from .ablate import SHARE, Answer, Choice, Gate
from .figures import confusion_and_routing, group_accuracy, reliability, risk_coverage
from .stored import Stored


def tables(stored: Stored, to: Path) -> dict[str, str]:
    """Draws the figures; returns each table's Markdown by its name."""
    risk_coverage(stored, to / "risk-coverage.svg")
    errors = reliability(stored, to / "reliability.svg")
    groups = group_accuracy(stored, to / "groups.svg")
    hits = confusion_and_routing(stored, to / "routing.svg")
    found = {
        "bundle": bundle_table(stored, errors, hits),
        "groups": markdown(["expert", "generalist", "its expert", "system", "always ask"], [
            [name, *map(percent, values)] for name, *values in groups
        ]),
        "stages": progress(stored),
        "quantisation": quantisation(stored),
        "k and scoring": choices(stored),
        "head and merge": answers(stored),
        "gate": gates(stored),
    }
    for path in sorted(to.glob("*.json")):
        found[path.stem] = comparison(json.loads(path.read_text()))
    return found


def bundle_table(stored: Stored, errors: dict[str, float], hits: float) -> str:
    choice = ablate.as_served(stored)
    at, always = ablate.system(stored, choice, SHARE), ablate.system(stored, choice, 1)
    rows = [
        ["generalist", percent(float((stored.outputs.edge.argmax(1) == stored.outputs.labels).float().mean()))],
        [f"system, {SHARE:.0%} escalated", percent(at)],
        ["always ask", percent(always)],
        ["system over always ask", percent(at / always)],
        ["oracle choice of the expert, as many escalated", percent(ablate.oracle(stored, SHARE))],
        ["routing hit rate at the manifest's threshold", percent(hits)],
        ["gate's AUROC", f"{ablate.gate_auroc(stored, ablate.confidence):.3f}"],
        *([f"calibration error, {name}", percent(error)] for name, error in errors.items()),
    ]
    return markdown(["on validation", ""], rows)


def progress(stored: Stored) -> str:
    """What each stage's networks reach on each expert's own classes, those of stages with one network for all
    included."""
    ids = [expert.id for expert in stored.experts]
    columns: dict[str, list[float | None]] = {}
    for stage in stored.stages:
        name, _, number = stage["name"].rpartition("-")
        if "byGroup" in stage:
            columns[stage["name"]] = stage["byGroup"]
        elif number.isdigit() and int(number) <= len(ids):
            columns.setdefault(name, [None] * len(ids))[int(number) - 1] = stage["validationAccuracyOwnClasses"]
    columns["as served"] = [expert.figures.get("validationAccuracyOwnClasses") for expert in stored.experts]
    rows = [[name, *(percent(values[i]) for values in columns.values())] for i, name in enumerate(ids)]
    return markdown(["own classes of", *columns], rows)


def classes(stored: Stored) -> str:
    """Which classes each model is for."""
    rows = [[stored.generalist.id, f"all {len(stored.labels)} classes, on the edge device"]]
    rows += [[expert.id, ", ".join(stored.labels[label] for label in expert.classes)] for expert in stored.experts]
    return markdown(["model", "for"], rows)


def models(stored: Stored) -> str:
    """What each model is and reaches."""
    rows = []
    for model in stored.models:
        figures = model.figures
        rows.append([
            model.id, f"{model.size} px", percent(figures["validationAccuracy"]),
            percent(figures.get("validationAccuracyOwnClasses")), percent(figures.get("float32ValidationAccuracy")),
            model.precision, f"{model.temperature:.3f}", f"{model.bytes:,}",
        ])
    head = [
        "model", "sees", "all classes", "own classes", "all classes in float32", "served in", "temperature", "bytes",
    ]
    return markdown(head, rows)


def quantisation(stored: Stored) -> str:
    forms = ["float32", "dynamic", "static", "mixed"]
    rows = []
    for model in stored.models:
        reached = [model.figures.get(f"{form}ValidationAccuracy") for form in forms]
        rows.append([model.id, *map(percent, reached), percent(model.figures["validationAccuracy"])])
    return markdown(["model", "float32", "dynamic", "static", "static, 4 products float", "served"], rows)


def choices(stored: Stored) -> str:
    groups = stored.groups
    candidates: dict[str, Choice] = {"top-1 owner": ablate.by_mass(groups, 1)}
    candidates |= {f"top-{k} mass": ablate.by_mass(groups, k) for k in (2, 3, 5)}
    candidates |= {f"top-{k} votes": ablate.by_votes(groups, k) for k in (2, 3, 5)}
    candidates |= {"expected gain": ablate.by_gain(groups), "owner of the true class": ablate.by_truth(stored.owners)}
    paper = ablate.system(stored, candidates["top-5 mass"], SHARE)
    gap = ablate.oracle(stored, SHARE) - paper
    rows = []
    for name, choice in candidates.items():
        values = [ablate.system(stored, choice, share) for share in (0.2, SHARE, 1)]
        closed = (values[1] - paper) / gap if gap > 0 else 0.0
        rows.append([name, *map(percent, values), f"{100 * closed:+.0f} %"])
    rows.append(["oracle", *(percent(ablate.oracle(stored, share)) for share in (0.2, SHARE, 1)), "+100 %"])
    head = ["expert chosen by", "20 % escalated", "40 %", "all", "of the gap from top-5 mass to the oracle"]
    return markdown(head, rows)


def answers(stored: Stored) -> str:
    groups, choice = stored.groups, ablate.as_served(stored)
    candidates: dict[str, Answer] = {
        "full head, weighted log-linear": ablate.log_linear, "full head, expert only": ablate.fixed(0, 1),
        "full head, average of the logarithms": ablate.fixed(0.5, 0.5),
        "full head, average": ablate.mean, "full head, learned": ablate.learned_merge,
        "masked to the group, weighted log-linear": ablate.masked(groups, none=False),
        "group and none of mine, weighted log-linear": ablate.masked(groups, none=True),
    }
    rows = [
        [name, *(percent(ablate.system(stored, choice, share, answer)) for share in (0.2, SHARE, 1))]
        for name, answer in candidates.items()
    ]
    return markdown(["head and merge", "20 % escalated", "40 %", "all"], rows)


def gates(stored: Stored) -> str:
    groups = stored.groups
    candidates: dict[str, Gate] = {
        "max-probability (min-entropy orders alike)": ablate.confidence, "margin": ablate.margin,
        "Shannon entropy": ablate.negative_entropy, "learned failure predictor": ablate.learned_gate,
        "expected gain": ablate.by_expected_gain(groups),
    }
    rows = []
    for name, gate in candidates.items():
        accuracies = [ablate.system(stored, ablate.as_served(stored), share, gate=gate) for share in (0.2, 0.3, SHARE)]
        rows.append([name, f"{ablate.gate_auroc(stored, gate):.3f}", *map(percent, accuracies)])
    return markdown(["gate", "AUROC", "20 % escalated", "30 %", "40 %"], rows)


def comparison(results: dict) -> str:
    """Rows of a trained comparison: mean and, in brackets, the spread from least to most over the seeds."""
    rows = []
    for variant in results["variants"]:
        cells = []
        for column in results["columns"]:
            values = [100 * run[column] for run in variant["runs"]]
            spread = f" ({max(values) - min(values):.1f})" if len(values) > 1 else ""
            cells.append(f"{sum(values) / len(values):.2f} %{spread}")
        for column, (_, unit) in results["counts"].items():
            cells.append(f"{sum(run[column] for run in variant['runs']) / len(variant['runs']) / unit:.1f}")
        seeds = ", ".join(str(run["seed"]) for run in variant["runs"])
        rows.append([variant["name"], seeds, *cells])
    titles = [title for title, _ in results["counts"].values()]
    return markdown(["", "seeds", *results["columns"].values(), *titles], rows)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
