"""What a result was made of: it is recorded with the result, and a result of anything else is refused."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..data.files import digest
from ..experiment.stage import Stage, flatten
from .run import Run


def origin_of(run: Run, stage: Stage, name: str, group: list[int] | None) -> dict[str, Any]:
    """All that decides what a result is."""
    experiment = run.experiment
    start = start_of(run, stage, name)
    if start is not None and not start.exists():
        raise FileNotFoundError(f"{start} is missing: it is what {name} starts from")
    architecture = asdict(run.architecture(stage))
    del architecture["patch"]  # recorded among the peculiarities where it is not the usual one
    return flatten(stage) | architecture | run.shape(stage).peculiar() | {
        "data": run.source.digest, "side": experiment.side, "seed": experiment.seed, "classes": group,
        "split": [experiment.validation, experiment.split_seed, experiment.subset],
        "starting weights": None if start is None else digest(start),
        "soup's weights": [digest(path) for path in soup_of(run, stage, name)],
        "teachers' weights": [digest(run.path(teacher, "safetensors")) for teacher in stage.teachers],
    }


def check_origin(run: Run, name: str, origin: dict[str, Any]) -> None:
    """A setting that did not exist when the result was made had its default."""
    path, defaults = run.path(name, "json"), flatten(Stage("", "", "", "", 0)) | {"soup's weights": []}
    made = defaults | run.figures(name)["origin"]
    differing = [key for key in sorted(made.keys() | origin.keys()) if made.get(key) != origin.get(key)]
    if differing:
        raise ValueError(
            f"{path} was made with another {', '.join(differing)}: remove it, or give the stage or the run another name"
        )


def start_of(run: Run, stage: Stage, name: str) -> Path | None:
    """The weights a model begins with; None for random ones."""
    if stage.start == "scratch":
        return None
    if stage.start == "weights":
        return run.starting_weights(stage)
    return counterpart(run, stage, name, stage.start)


def counterpart(run: Run, stage: Stage, name: str, other: str) -> Path:
    """Weights of another stage that belong to this stage's result: of the same group, or of the one network for all."""
    whole = run.experiment.stage(other).pictures == "all"
    return run.path(other if whole else other + name.removeprefix(stage.name), "safetensors")


def soup_of(run: Run, stage: Stage, name: str) -> list[Path]:
    """The counterparts of the stage's soup; into the one network for all go those of every group."""
    paths = []
    for other in stage.soup.others if stage.soup else []:
        if stage.pictures == "all":
            paths += [run.path(result, "safetensors") for result in run.results(run.experiment.stage(other))]
        else:
            paths.append(counterpart(run, stage, name, other))
    return paths
