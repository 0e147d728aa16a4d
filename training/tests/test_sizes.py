"""Files and functions that a reader takes in at once."""

import ast

from support import TRAINING

PACKAGE = TRAINING / "ask_training"
LARGEST_FILE, LONGEST_FUNCTION, LARGEST_TEST = 220, 60, 300  # lines


def test_files_and_functions_keep_their_size() -> None:
    sizes = [(path, LARGEST_FILE if PACKAGE in path.parents else LARGEST_TEST) for folder in ("ask_training", "tests")
             for path in (TRAINING / folder).rglob("*.py")]
    assert [f"{path.relative_to(TRAINING)}: {lines} lines" for path, most in sizes
            if (lines := len(path.read_text().splitlines())) >= most] == []
    functions = [
        (path, node) for path in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert [f"{path.relative_to(PACKAGE)}: {node.name}" for path, node in functions
            if node.end_lineno - node.lineno >= LONGEST_FUNCTION] == []
