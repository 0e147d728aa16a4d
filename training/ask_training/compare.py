"""Command line: ``python -m ask_training.compare CONFIG... --seeds S... --data DIR [--weights FILE] [--runs DIR]
[--test FILE] --to FILE.json``.

Every experiment is trained with every seed, without export. What each reaches on validation is stored, or with
``--test`` on CIFAR-100 records that chose nothing; ``report`` makes tables of it. A finished stage is skipped.
Experiments of one family share the stages that no groups decide."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from .data.files import write_json
from .data.sources import read_records
from .experiment.check import read_experiment
from .models.forward import keep_freed_memory
from .report.measure import cost, measure
from .train.run import Run
from .train.stages import needed, perform

COLUMNS = {
    "own": "experts, own classes", "ownOnly": "the same, other classes ruled out", "system": "system, 40 % escalated",
    "always": "always ask", "generalist": "generalist",
}
COUNTS = {
    "pictures": ("pictures trained on, thousands", 1e3), "parameters": ("parameters of the experts, millions", 1e6),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ask_training.compare")
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--runs", type=Path, default=Path(__file__).resolve().parent.parent / "runs")
    parser.add_argument("--test", type=Path, help="CIFAR-100 records to measure on instead of validation")
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
                run.write_settings()
                for stage in needed(run):
                    perform(run, stage)
                test = read_records([options.test], run.source.names, 2, "").pictures if options.test else None
                trained = [name for stage in needed(run) for name in run.results(stage)]
                runs.setdefault(experiment.name, []).append({"seed": seed} | measure(run, test) | cost(run, trained))
                store(options.to, runs)
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"ask_training.compare: {error}")


def store(path: Path, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Other variants and seeds that earlier commands stored in the same file stay."""
    known = json.loads(path.read_text())["variants"] if path.exists() else []
    merged = {variant["name"]: {run["seed"]: run for run in variant["runs"]} for variant in known}
    for name, results in runs.items():
        merged.setdefault(name, {}).update({run["seed"]: run for run in results})
    variants = [{"name": name, "runs": [found[seed] for seed in sorted(found)]} for name, found in merged.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"columns": COLUMNS, "counts": COUNTS, "variants": variants})


if __name__ == "__main__":
    main()
