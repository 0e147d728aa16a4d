"""Reads an experiment and checks what types cannot say: ranges, and names of what exists."""

from pathlib import Path

from .check_stage import BEGINNINGS, NAME, Rules, stage_rules
from .config import Architecture, Cascade, Experiment
from .exports import AnyExport, Blocks, Tokens, Whole
from .parse import read_file


def read_experiment(path: Path) -> Experiment:
    """Raises ValueError naming the file and the field that is wrong."""
    experiment = read_file(Experiment, path)
    check(experiment, str(path))
    return experiment


def check(experiment: Experiment, where: str) -> None:
    """Raises ValueError saying what is wrong."""
    _require(_experiment_rules(experiment), where)
    for name, architecture in experiment.architectures.items():
        _require(_architecture_rules(architecture), f"{where}: architecture {name!r}")
    known = set(BEGINNINGS)
    for stage in experiment.stages:
        _require(stage_rules(experiment, stage, known), f"{where}: stage {stage.name!r}")
        known |= {stage.name, *experiment.results(stage)}
    _require(_group_rules(experiment), where)
    models: set[str] = set()
    for i, export in enumerate(experiment.exports):
        _require([(export.stage in {stage.name for stage in experiment.stages}, f"there is no stage {export.stage!r}")],
                 f"{where}: exports[{i}]")
        _require(_export_rules(experiment, export, models), f"{where}: exports[{i}]")
        models.update(experiment.ids(export))
    _require([(len(experiment.strategies) == 1, f"strategies: expected one, got {len(experiment.strategies)}")], where)
    for name, strategy in experiment.strategies.items():
        _require(_strategy_rules(experiment, strategy), f"{where}: strategies: {name}")


def _require(rules: Rules, where: str) -> None:
    for holds, message in rules:
        if not holds:
            raise ValueError(f"{where}: {message}")


def _experiment_rules(experiment: Experiment) -> Rules:
    groups, operating = experiment.groups, experiment.operating
    rules = ("confusion", "overlap", "superclass", "random")
    return [
        (
            bool(NAME.fullmatch(experiment.name)),
            f"name must be lower-case letters, digits, - and _, got {experiment.name!r}",
        ),
        (0 < experiment.validation < 1, f"validation must lie between 0 and 1, got {experiment.validation}"),
        (0 < experiment.subset <= 1, f"subset must lie above 0 and be at most 1, got {experiment.subset}"),
        (experiment.side >= 1, f"side must be at least 1, got {experiment.side}"),
        (groups.count >= 1, f"groups: count must be at least 1, got {groups.count}"),
        (groups.by in rules, f"groups: by must be {', '.join(rules[:-1])} or {rules[-1]}, got {groups.by!r}"),
        (groups.overlap >= 0, f"groups: overlap must be at least 0, got {groups.overlap}"),
        (groups.smallest >= 2, "groups: smallest must be at least 2: an expert of one class has nothing to tell apart"),
        (
            0 < operating.escalation <= 1,
            f"operating: escalation must lie above 0 and be at most 1, got {operating.escalation}",
        ),
        (bool(operating.k) and min(operating.k) >= 1, f"operating: k needs whole numbers from 1, got {operating.k}"),
    ]


def _architecture_rules(architecture: Architecture) -> Rules:
    size, width, heads, patch = architecture.size, architecture.width, architecture.heads, architecture.patch
    numbers = {"size": size, "width": width, "depth": architecture.depth, "heads": heads, "patch": patch}
    too_small = [
        f"{name} must be at least 1, got {value}" for name, value in numbers.items() if value is not None and value < 1
    ]
    return [
        (not too_small, "".join(too_small[:1])),
        (not patch or size % patch == 0, f"size must be a multiple of {patch}, got {size}"),
        (not width or not heads or width % heads == 0, f"width must be a multiple of heads, got {width} and {heads}"),
        (0 <= architecture.drop_path < 1, f"drop_path must be at least 0 and below 1, got {architecture.drop_path}"),
    ]


def _group_rules(experiment: Experiment) -> Rules:
    groups, pictures = experiment.groups, {stage.name: stage.pictures for stage in experiment.stages}
    kept = experiment.checkpoint
    return [
        (pictures.get(groups.of) == "all", f"groups: of must name a stage on all pictures, got {groups.of!r}"),
        (not experiment.grouped(groups.of), f"groups: {groups.of!r} is made from the groups that it is to decide"),
        (not kept or kept in pictures, f"checkpoint: there is no stage {kept!r}"),
        (pictures.get(kept) != "group", f"checkpoint: {kept!r} is one model per group"),
    ]


def _export_rules(experiment: Experiment, export: AnyExport, taken: set[str]) -> Rules:
    common = [
        (
            bool(NAME.fullmatch(export.model)),
            f"model must be lower-case letters, digits, - and _, got {export.model!r}",
        ),
        (not taken.intersection(experiment.ids(export)), f"the model {export.model!r} is exported twice"),
    ]
    if isinstance(export, Whole):
        return [
            *common,
            (export.second_look >= 0, f"second_look must be at least 0, got {export.second_look}"),
            (not (export.attention and export.second_look), "attention is of one look, second_look must be left out"),
            (export.processor in ("any", "cpu"), f"processor must be 'any' or 'cpu', got {export.processor!r}"),
        ]
    if isinstance(export, Blocks):
        last = export.stop is None or export.stop > export.start
        return [*common, (export.start >= 0 and last, f"blocks {export.start} to before {export.stop} are none")]
    return common


def _strategy_rules(experiment: Experiment, strategy: Cascade) -> Rules:
    exports = {export.model: export for export in experiment.exports}
    roles = {"generalist": strategy.generalist, "experts": strategy.experts}
    rules = [(model in exports, f"{role}: no model {model!r} is exported") for role, model in roles.items()]
    rules += [
        (not isinstance(exports.get(model), Blocks | Tokens), f"{role}: {model!r} is not a whole graph")
        for role, model in roles.items()
    ]
    per_group = {model: experiment.per_group(export) for model, export in exports.items()}
    return [
        *rules,
        (not per_group.get(strategy.generalist), f"generalist: {strategy.generalist!r} is one model per group"),
        (
            per_group.get(strategy.experts, True),
            f"experts: {strategy.experts!r} is one model for all, say per_group = true",
        ),
        (strategy.head in ("full", "group"), f"head must be 'full' or 'group', got {strategy.head!r}"),
    ]
