"""``python -m ask_training.compare CONFIG... --seeds S... --data DIR [--weights FILE] [--runs DIR] --to FILE.json``

Trains every experiment with every seed, without export, and stores what each reaches on validation; ``report`` makes
tables of it. What is trained already is skipped, and experiments of one family share their stages on all pictures."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from .bundle import held_back
from .calibrate import Outputs, final_right, fit_rules, fit_temperature, fit_threshold
from .check import read_experiment
from .engine import keep_freed_memory
from .files import write_json
from .groups import find_groups, find_owners
from .run import Run
from .stages import perform

COLUMNS = {
    "own": "experts, own classes", "ownOnly": "the same, other classes ruled out", "system": "system, 40 % escalated",
    "always": "always ask", "generalist": "generalist",
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ask_training.compare")
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--runs", type=Path, default=Path(__file__).resolve().parent.parent / "runs")
    parser.add_argument("--to", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        keep_freed_memory()
        runs: dict[str, list[dict[str, Any]]] = {}
        for seed in options.seeds:
            for path in options.configs:
                experiment = replace(read_experiment(path), seed=seed)
                common = options.runs / (experiment.family or experiment.name) / f"seed-{seed}"
                run = Run(experiment, common / experiment.name, options.data, options.weights, common)
                for stage in needed(run):
                    perform(run, stage)
                runs.setdefault(experiment.name, []).append(measure(run) | {"seed": seed})
                store(options.to, runs)
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"ask_training.compare: {error}")


def needed(run: Run) -> list:
    """The stages that the bundle's models come from, in order."""
    wanted, todo = set(), [run.experiment.bundle.generalist, run.experiment.bundle.experts, run.experiment.groups.of]
    while todo:
        name = todo.pop()
        if name in wanted or name in ("weights", "scratch"):
            continue
        wanted.add(name)
        stage = run.experiment.stage(name)
        todo += [stage.start, *stage.teachers]
    return [stage for stage in run.experiment.stages if stage.name in wanted]


def measure(run: Run) -> dict[str, Any]:
    """On validation: experts on their own classes, and the system with rules fitted on one half for the other, both ways."""
    groups, owners = find_groups(run), torch.tensor(find_owners(run))
    labels = run.split[1].labels
    names = list(run.served())
    logits = [run.masked_logits(name, None if i == 0 else groups[i - 1]) for i, name in enumerate(names)]
    outputs = Outputs(*_calibrated(logits, labels), labels)
    own = outputs.of(owners[labels])
    ruled = own.clone()
    for i, group in enumerate(groups):
        others = torch.ones(own.shape[1], dtype=torch.bool)
        others[group] = False
        ruled[(owners[labels] == i)[:, None] & others] = -30.0
    held = held_back(len(labels))
    asked_right = always_right = 0
    for fit, to in ((outputs.at(~held), outputs.at(held)), (outputs.at(held), outputs.at(~held))):
        rule = fit_rules(fit, groups, run.experiment.operating)[-1]
        asked = to.confidence() < fit_threshold(fit.confidence(), run.experiment.operating.escalation)
        asked_right += int(final_right(rule, to, groups, asked).sum())
        always_right += int(final_right(rule, to, groups, torch.ones_like(asked)).sum())
    share = lambda flags: round(flags.float().mean().item(), 4)
    trained = [name for stage in needed(run) for name in run.results(stage)]
    return {
        "own": share(own.argmax(1) == labels), "ownOnly": share(ruled.argmax(1) == labels),
        "system": round(asked_right / len(labels), 4), "always": round(always_right / len(labels), 4),
        "generalist": share(outputs.edge.argmax(1) == labels),
        "pictures": sum(run.figures(name)["pictures"] for name in trained),
        "seconds": sum(run.figures(name)["seconds"] for name in trained),
    }


def _calibrated(logits: list[torch.Tensor], labels: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    edge, *experts = ((values / fit_temperature(values, labels)).log_softmax(1) for values in logits)
    return edge, experts


def store(path: Path, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Keeps the variants that earlier commands stored in the same file."""
    known = json.loads(path.read_text())["variants"] if path.exists() else []
    kept = [variant for variant in known if variant["name"] not in runs]
    found = [{"name": name, "runs": results} for name, results in runs.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"columns": list(COLUMNS), "titles": list(COLUMNS.values()), "variants": kept + found})


if __name__ == "__main__":
    main()
