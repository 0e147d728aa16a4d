"""Command line: ``python -m ask_training WHAT --data DIR [--weights FILE] [--config FILE] [--runs DIR] [--to DIR]``.

WHAT is ``all``, one of the configuration's stages, ``export`` or ``bundle``. A finished stage is skipped, an
interrupted one is resumed."""

import argparse
import json
import sys
from pathlib import Path

from .experiment.check import read_experiment
from .export.bundle import write_bundle
from .export.choose_form import export_model
from .export.graphs import check_fits
from .models.forward import keep_freed_memory
from .train.groups import check_sizes
from .train.run import Run
from .train.stages import check_stages, needed, perform

HERE = Path(__file__).resolve().parent.parent
LEAST_VALIDATION = 10  # half of them fit the policy, in as many folds


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="ask_training", description="Trains a bundle, stage by stage.")
    version = json.loads((HERE.parent / "package.json").read_text())["version"]
    parser.add_argument("--version", action="version", version=version)
    parser.add_argument("what", help="all, a stage of the configuration, export or bundle")
    what = "CIFAR binary records, or a folder of pictures per class"
    parser.add_argument("--data", type=Path, required=True, help=what)
    parser.add_argument("--weights", type=Path, help="DeiT or timm checkpoint to start from")
    parser.add_argument("--config", type=Path, default=HERE / "configs" / "default.toml")
    parser.add_argument("--runs", type=Path, default=HERE / "runs", help="checkpoints and figures go here")
    parser.add_argument("--to", type=Path, help="the finished bundle (default: models/NAME, of the configuration)")
    options = parser.parse_args(arguments)
    try:
        experiment = read_experiment(options.config)
        run = Run(experiment, options.runs / experiment.name, options.data, options.weights)
        steps = [stage.name for stage in experiment.stages] + ["export", "bundle"]
        if options.what not in ["all", *steps]:
            raise ValueError(f"there is no step {options.what!r}; {options.config} has {', '.join(steps)}")
        check_sizes(run.classes, experiment.groups)
        if len(run.split[1]) < LEAST_VALIDATION:
            raise ValueError(f"{len(run.split[1])} pictures are too few to validate on, {LEAST_VALIDATION} are needed: "
                             f"add pictures, or raise validation in {options.config}")
        if max(experiment.operating.k) > run.classes:
            most = max(experiment.operating.k)
            raise ValueError(f"{options.config}: operating: k goes to {most}, there are {run.classes} classes")
        if options.what == "all":
            for stage in experiment.stages:
                run.architecture(stage)
        if options.what in ("all", "export"):
            for export in experiment.exports:
                check_fits(export, run.architecture(experiment.stage(export.stage)))
        run.write_settings()
        keep_freed_memory()
        for step in steps if options.what == "all" else [options.what]:
            do(step, run, options)
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"ask_training: {error}")


def do(step: str, run: Run, options: argparse.Namespace) -> None:
    if step == "export":
        check_stages(run, needed(run))
        for model in run.exports:
            export_model(run, model)
    elif step == "bundle":
        check_stages(run, run.experiment.stages)
        inside = options.config.resolve().is_relative_to(HERE.parent)
        config = f" --config {options.config.resolve().relative_to(HERE.parent) if inside else options.config.name}"
        weights = " --weights FILE" if options.weights else ""
        target = options.to or HERE.parent / "models" / run.experiment.name
        write_bundle(run, target, f"npm run -s train -- all{config} --data DIR{weights}")
    else:
        perform(run, run.experiment.stage(step))


if __name__ == "__main__":
    main()
