"""Command line: ``python -m ask_training STEP --data DIR --weights FILE [--config FILE] [--runs DIR] [--to DIR]``.

``all`` does every step in order. Each step can be run by itself, is skipped when done, and resumes when interrupted.
"""

import argparse
import sys
from pathlib import Path

from .bundle import expert_ids, export_model, write_bundle
from .config import read_experiment
from .data import DataError
from .engine import keep_freed_memory
from .steps import Run, find_groups, train_base, train_expert, train_generalist

HERE = Path(__file__).resolve().parent.parent
STEPS = ["generalist", "groups", "base", "experts", "export", "bundle"]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ask_training", description="Trains a bundle, step by step.")
    parser.add_argument("step", choices=[*STEPS, "all"])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.bin and fine_label_names.txt")
    parser.add_argument("--weights", type=Path, required=True, help="DeiT or timm checkpoint to start from")
    parser.add_argument("--config", type=Path, default=HERE / "configs" / "default.toml")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="checkpoints and figures go here")
    parser.add_argument("--to", type=Path, default=HERE.parent / "models" / "default", help="the finished bundle")
    options = parser.parse_args(arguments)
    try:
        experiment = read_experiment(options.config)
        run = Run(experiment, options.runs / experiment.name, options.data, options.weights)
        keep_freed_memory()
        for step in STEPS if options.step == "all" else [options.step]:
            perform(step, run, options.to)
    except (DataError, ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"ask_training: {error}")


def perform(step: str, run: Run, target: Path) -> None:
    if step == "generalist":
        return train_generalist(run)
    groups = find_groups(run)
    if step == "base":
        train_base(run)
    if step == "experts":
        for name, group in zip(expert_ids(groups), groups):
            train_expert(run, name, group)
    if step == "export":
        export_model(run, "generalist", run.experiment.generalist)
        for name in expert_ids(groups):
            export_model(run, name, run.experiment.expert)
    if step == "bundle":
        command = f"python -m ask_training all --config training/configs/{run.experiment.name}.toml --data DIR --weights FILE"
        write_bundle(run, groups, target, command)


if __name__ == "__main__":
    main()
