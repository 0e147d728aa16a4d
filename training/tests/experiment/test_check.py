from pathlib import Path

import pytest
from support import refuse

REFERENCES = {
    "groups of what they decide": (
        '[groups]\nof = "generalist"',
        '[[stages]]\nname = "mean"\nstart = "base"\narchitecture = "medium"\npictures = "all"\nepochs = 0\nsoup = { others = ["widening"] }\n[groups]\nof = "mean"',
        "groups: 'mean' is made from the groups that it is to decide",
    ),
    "size no multiple": (
        "size = 48",
        "size = 50\npatch = 16",
        "architecture 'medium': size must be a multiple of 16, got 50",
    ),
    "width no multiple": (
        "heads = 3",
        "heads = 5",
        "architecture 'small': width must be a multiple of heads, got 48 and 5",
    ),
    "shape from nothing": (
        'start = "weights"\narchitecture = "small"',
        'start = "scratch"\narchitecture = "bare"',
        "stage 'generalist': architecture 'bare' needs width and depth: there is no checkpoint to take them from",
    ),
    "no depth": ("depth = 2", "depth = 0", "architecture 'small': depth must be at least 1, got 0"),
    "all paths dropped": (
        "drop_path = 0.1",
        "drop_path = 1.0",
        "architecture 'small': drop_path must be at least 0 and below 1, got 1.0",
    ),
    "name of another folder": (
        'name = "tiny"',
        'name = "../x"',
        "name must be lower-case letters, digits, - and _, got '../x'",
    ),
    "too many escalated": (
        "escalation = 0.5",
        "escalation = 3",
        "operating: escalation must lie above 0 and be at most 1, got 3.0",
    ),
    "no k": ("k = [1, 2]", "k = [0]", "operating: k needs whole numbers from 1, got [0]"),
    "no groups": ("count = 3", "count = 0", "groups: count must be at least 1, got 0"),
    "validation of all": ("validation = 0.25", "validation = 1.0", "validation must lie between 0 and 1, got 1.0"),
    "export of nothing": ('stage = "generalist"', 'stage = "general"', "exports[0]: there is no stage 'general'"),
    "export of weights": ('stage = "specialist"', 'stage = "weights"', "exports[1]: there is no stage 'weights'"),
    "export twice": (
        'model = "generalist"',
        'model = "expert-2"',
        "exports[1]: the model 'expert' is exported twice",
    ),
    "export to another folder": (
        'model = "expert"',
        'model = "../x"',
        "exports[1]: model must be lower-case letters, digits, - and _, got '../x'",
    ),
    "second look below nothing": (
        "second_look = 32",
        "second_look = -1",
        "exports[1]: second_look must be at least 0, got -1",
    ),
    "attention of two looks": (
        "second_look = 32",
        "second_look = 32\nattention = true",
        "exports[1]: attention is of one look, second_look must be left out",
    ),
    "processor": ('processor = "cpu"', 'processor = "npu"', "exports[0]: processor must be 'any' or 'cpu', got 'npu'"),
    "no blocks": (
        "second_look = 32",
        'kind = "blocks"\nstart = 2\nstop = 2',
        "exports[1]: blocks 2 to before 2 are none",
    ),
    "kind of export": (
        "second_look = 32",
        'kind = "half"',
        "exports[1]: kind must be 'whole', 'blocks' or 'tokens', got 'half'",
    ),
    "setting of another kind": (
        "second_look = 32",
        'kind = "tokens"\nsecond_look = 32',
        "exports[1]: second_look is unknown",
    ),
    "generalist of nothing": (
        'generalist = "generalist"',
        'generalist = "general"',
        "strategies: ask: generalist: no model 'general' is exported",
    ),
    "generalist per group": (
        'generalist = "generalist"',
        'generalist = "expert"',
        "strategies: ask: generalist: 'expert' is one model per group",
    ),
    "one expert": (
        'experts = "expert"',
        'experts = "generalist"',
        "strategies: ask: experts: 'generalist' is one model for all, say per_group = true",
    ),
    "an expert in parts": (
        "second_look = 32",
        'kind = "blocks"\nstart = 1',
        "strategies: ask: experts: 'expert' is not a whole graph",
    ),
    "kind of strategy": (
        'experts = "expert"',
        'experts = "expert"\nkind = "vote"',
        "strategies: ask: kind must be 'cascade', got 'vote'",
    ),
    "two strategies": (
        "[operating]",
        '[strategies.other]\ngeneralist = "generalist"\nexperts = "expert"\n[operating]',
        "strategies: expected one, got 2",
    ),
    "what was the bundle": (
        "[operating]",
        '[bundle]\ngeneralist = "generalist"\n[operating]',
        (
            "bundle is no longer known, write [[exports]] with model and stage of each network, [strategies.NAME] with "
            "generalist and experts, and checkpoint before the first table"
        ),
    ),
    "checkpoint of nothing": ('checkpoint = "base"', 'checkpoint = "bass"', "checkpoint: there is no stage 'bass'"),
    "checkpoint per group": (
        'checkpoint = "base"',
        'checkpoint = "widening"',
        "checkpoint: 'widening' is one model per group",
    ),
    "groups of nothing": (
        'of = "generalist"',
        'of = "nobody"',
        "groups: of must name a stage on all pictures, got 'nobody'",
    ),
    "groups of groups": (
        'of = "generalist"',
        'of = "widening"',
        "groups: of must name a stage on all pictures, got 'widening'",
    ),
    "groups of weights": (
        'of = "generalist"',
        'of = "weights"',
        "groups: of must name a stage on all pictures, got 'weights'",
    ),
    "grouping rule": (
        "count = 3",
        'by = "size"\ncount = 3',
        "groups: by must be confusion, overlap, superclass or random, got 'size'",
    ),
    "head": (
        'experts = "expert"',
        'experts = "expert"\nhead = "half"',
        "strategies: ask: head must be 'full' or 'group', got 'half'",
    ),
    "one-class groups": (
        "smallest = 2",
        "smallest = 1",
        "groups: smallest must be at least 2: an expert of one class has nothing to tell apart",
    ),
}


@pytest.mark.parametrize(("old", "new", "message"), REFERENCES.values(), ids=REFERENCES)
def test_a_reference_that_leads_nowhere_is_refused_where_it_stands(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    refuse(tmp_path, old, new, message)
